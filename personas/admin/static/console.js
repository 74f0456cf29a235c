// The switch between light and dark, and how large a file may be.

document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
  const theme = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
  localStorage.setItem("tabler-theme", theme); // read by tabler-theme.min.js on the next page
  if (theme === "dark") document.documentElement.dataset.bsTheme = theme;
  else delete document.documentElement.dataset.bsTheme;
  document.dispatchEvent(new Event("parley:theme"));
});

// A file that is too large is told before it is sent.
document.querySelector("input[type=file][data-most-bytes]")?.addEventListener("change", ({ target }) => {
  const most = Number(target.dataset.mostBytes);
  const isTooLarge = [...target.files].some((file) => file.size > most);
  target.setCustomValidity(isTooLarge ? `Choose a file of at most ${Math.floor(most / 1e6)} MB.` : "");
  target.reportValidity();
});
