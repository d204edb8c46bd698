// Let the keyboard reach what scrolls sideways: the boxes that the theme puts wide tables into, and long lines of code.
const focusable = () => {
  document.querySelectorAll(".md-typeset__scrollwrap").forEach((box) => (box.tabIndex = 0));
  document.querySelectorAll(".md-typeset pre > code").forEach((code) => {
    if (code.scrollWidth > code.clientWidth) code.tabIndex = 0;
  });
};
window.addEventListener("load", () => {
  focusable();
  setTimeout(focusable, 100); // the theme may not have finished
});
window.addEventListener("resize", focusable);
document.addEventListener("toggle", focusable, true); // a folded block was opened
