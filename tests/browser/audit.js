// Run in a page: what keeps somebody from reading or using it, as a list of sentences.
() => {
  const problems = [];
  const isSeen = (element) => element.getClientRects().length > 0;
  const name = (element) => `<${element.localName}> ${element.textContent.trim().slice(0, 40)}`;

  if (!document.documentElement.lang) problems.push("the page names no language");
  if (!document.title) problems.push("the page has no title");
  if (document.querySelectorAll("main").length !== 1) problems.push("not one main part");
  if (document.documentElement.scrollWidth > innerWidth) problems.push("scrolls sideways");

  const levels = [...document.querySelectorAll("h1,h2,h3,h4")].map((one) => +one.localName[1]);
  if (levels.filter((level) => level === 1).length !== 1) problems.push("not one h1");
  levels.forEach((level, at) => {
    if (at && level > levels[at - 1] + 1) problems.push(`h${level} after h${levels[at - 1]}`);
  });

  for (const field of document.querySelectorAll("input:not([type=hidden]),select,textarea")) {
    const isNamed = field.labels.length || field.getAttribute("aria-label");
    if (!isNamed) problems.push(`no label: ${field.name || field.id}`);
  }
  for (const control of document.querySelectorAll("a,button")) {
    if (isSeen(control) && !control.textContent.trim() && !control.ariaLabel)
      problems.push(`no words: ${control.outerHTML.slice(0, 60)}`);
  }

  const brush = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
    return brush.getImageData(0, 0, 1, 1).data;
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((one) => {
      const part = one / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba(matchMedia("(prefers-color-scheme: dark)").matches ? "#121212" : "#fff");
  };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (words.nextNode()) {
    const element = words.currentNode.parentElement;
    if (!words.currentNode.data.trim() || !isSeen(element)) continue;
    const [one, other] = [rgba(getComputedStyle(element).color), behind(element)].map(light);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) problems.push(`contrast ${ratio.toFixed(1)}: ${name(element)}`);
  }
  return problems;
}
