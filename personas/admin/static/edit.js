// A role card's text: not left unsaved by mistake, and kept in this tab until it is saved.

const SENT = "parley:card-sent"; // the key of a text whose saving was asked for
const area = document.getElementById("text");
if (area) watch(area);
else forget(sessionStorage.getItem(SENT)); // the persona's page: it was saved

function forget(key) {
  sessionStorage.removeItem(SENT);
  if (key) sessionStorage.removeItem(key);
}

function watch(area) {
  const key = `parley:card:${area.dataset.slug}`;
  const notice = document.getElementById("kept");
  const shown = area.value;
  const kept = sessionStorage.getItem(key);
  let sending = false;
  if (kept === shown || !notice) forget(key); // a page that answers a form holds what was typed already
  else if (kept !== null) notice.hidden = false;

  area.addEventListener("input", () => {
    sessionStorage.setItem(key, area.value);
    if (notice) notice.hidden = true;
  });
  area.form.addEventListener("submit", (submitting) => {
    sessionStorage.setItem(key, area.value); // should the answer be a sign-in page
    if (submitting.submitter?.value === "save") sessionStorage.setItem(SENT, key);
    sending = true;
  });
  window.addEventListener("pageshow", () => { sending = false; });
  window.addEventListener("beforeunload", (leaving) => {
    if (!sending && area.value !== shown) leaving.preventDefault();
  });
  document.getElementById("put-back")?.addEventListener("click", () => {
    area.value = kept;
    notice.hidden = true;
    area.focus();
  });
  document.getElementById("forget")?.addEventListener("click", () => {
    forget(key);
    notice.hidden = true;
    area.focus();
  });
}
