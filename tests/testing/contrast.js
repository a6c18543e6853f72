// All texts of a page that have less contrast to what is under them than WCAG 2.2 asks for, and how many were seen.
(() => {
  const parse = text => (text.match(/[\d.]+/g) || []).map(Number);
  const over = ([r, g, b, a = 1], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
  const ground = element => {
    if (!element) return [255, 255, 255];
    const color = parse(getComputedStyle(element).backgroundColor);
    return color.length < 4 ? color : over(color, ground(element.parentElement));
  };
  const light = color => {
    const [r, g, b] = color.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (ink, under) => {
    const [low, high] = [light(over(ink, under)), light(under)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  document.querySelectorAll("details").forEach(d => d.open = true);
  const poor = []; let seen = 0;
  const check = (element, ink) => {
    const picture = element.closest("figure > svg");
    const under = picture ? parse(getComputedStyle(picture.querySelector(".ground")).fill) : ground(element);
    seen += 1;
    if (ratio(ink, under) < 4.5) poor.push([element.outerHTML.slice(0, 80), ink, under, ratio(ink, under)]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !element.getClientRects().length || ["STYLE", "SCRIPT", "OPTION"].includes(element.tagName)) continue;
    if (element.closest("title, desc")) continue;
    const style = getComputedStyle(element);
    check(element, parse(element.closest("svg") ? style.fill : style.color));
  }
  for (const field of document.querySelectorAll("input, select")) {
    check(field, parse(getComputedStyle(field).color));
    check(field, parse(getComputedStyle(field, "::placeholder").color));
  }
  return {seen, poor};
})()
