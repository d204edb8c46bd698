// The theme puts wide tables into boxes that scroll. Let the keyboard reach them.
window.addEventListener("load", () => {
  const focusable = () => document.querySelectorAll(".md-typeset__scrollwrap").forEach((box) => (box.tabIndex = 0));
  focusable();
  setTimeout(focusable, 100); // the theme may not have finished
});
