// The switch between light and dark.

document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
  const theme = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
  localStorage.setItem("tabler-theme", theme); // read by tabler-theme.min.js on the next page
  if (theme === "dark") document.documentElement.dataset.bsTheme = theme;
  else delete document.documentElement.dataset.bsTheme;
  document.dispatchEvent(new Event("parley:theme"));
});
