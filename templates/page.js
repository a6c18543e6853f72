// Filters and buttons that copy. A page says all that it has to say without this; what is hidden in its HTML is shown here.
"use strict";
(() => {
  const all = (selector, root) => [...(root || document).querySelectorAll(selector)];

  // -- filters: items are shown that fit every field; what an item has is on it or on what is around it
  const bar = document.querySelector(".filters");
  if (bar) {
    const fields = all("[name]", bar), items = all(".item"), groups = all(".group"), said = bar.querySelector("output");

    const has = (item, name) => {
      const holder = item.closest(`[data-${name}]`);
      return holder ? holder.dataset[name].split("\n") : null;
    };
    const fits = (item, field) => {
      if (!field.value.trim()) return true;
      if (field.name === "text") {
        const text = `${item.textContent} ${item.dataset.text || ""}`.toLowerCase();
        return field.value.toLowerCase().trim().split(/\s+/).every(word => text.includes(word));
      }
      const values = has(item, field.name);
      return values === null || values.includes(field.value);
    };
    const apply = () => {
      for (const item of items) item.hidden = !fields.every(field => fits(item, field));
      for (const group of groups) group.hidden = all(".item", group).every(item => item.hidden);
      said.textContent = `${items.filter(item => !item.hidden).length} of ${items.length} ${said.dataset.what}`;
    };
    const read = () => {
      const asked = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
      for (const field of fields) {
        field.value = asked.get(field.name) || "";
        if (field.selectedIndex === -1) field.value = "";
      }
      apply();
    };
    const changed = () => {
      const set = new URLSearchParams(fields.filter(field => field.value).map(field => [field.name, field.value]));
      history.replaceState(null, "", set.size ? `#${set}` : location.href.split("#")[0]);
      apply();
    };
    bar.addEventListener("input", changed);
    bar.querySelector("button").addEventListener("click", () => {
      for (const field of fields) field.value = "";
      changed();
      fields[0].focus();
    });
    addEventListener("hashchange", read);
    bar.hidden = false;
    read();
  }

  // -- copying: over http:// to another host there is no navigator.clipboard
  const put = async text => {
    if (navigator.clipboard) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch { /* not allowed: the other way is tried */ }
    }
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "aside";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  for (const button of all("button[data-copy]")) {
    const status = button.parentElement.querySelector("[role=status]");
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      const done = await put(source.textContent);
      button.focus();
      if (!done) getSelection().selectAllChildren(source);
      status.textContent = done ? "Copied." : "It is selected: copy it with the keyboard.";
      setTimeout(() => { status.textContent = ""; }, 4000);
    });
    button.hidden = false;
  }
})();
