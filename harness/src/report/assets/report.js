// Every page is complete without this script; it only adds filters and sorting.
(function () {
  "use strict";
  // Rows are opened for the reader only while few match.
  var OPEN_MAX = 60;
  function all(selector, within) { return Array.prototype.slice.call((within || document).querySelectorAll(selector)); }
  function wordsOf(input) { return input.value.toLowerCase().split(/\s+/).filter(Boolean); }
  function containsAll(text, words) { return words.every(function (word) { return text.indexOf(word) >= 0; }); }
  function later(action) {
    var timer = 0;
    return function () { clearTimeout(timer); timer = setTimeout(action, 120); };
  }

  // The matrix: filter and order.
  var matrices = all(".compat").map(function (box) {
    var form = box.querySelector("form");
    var text = box.querySelector(".filter-text");
    var outcome = box.querySelector(".filter-outcome");
    var order = box.querySelector(".sort");
    var count = box.querySelector(".filter-count");
    var table = box.querySelector(".matrix");
    var endpoints = all(".endpoint", box).map(function (node) {
      var path = node.querySelector(".path").textContent.toLowerCase().replace(/\s+/g, " ");
      var short = (node.dataset.short || "").split(" ").map(Number);
      var cases = all(".case", node).map(function (item) {
        return {
          node: item,
          area: item.dataset.area,
          words: path + " " + item.dataset.area.toLowerCase() + " " + item.textContent.toLowerCase(),
          outcomes: item.dataset.outcomes.split(" "),
        };
      });
      return {
        node: node, at: Number(node.dataset.at), path: path.replace(/^\s*\S+\s+/, ""), short: short,
        all: short.reduce(function (sum, it) { return sum + it; }, 0), cases: cases,
      };
    });
    function apply() {
      var area = null;
      var words = wordsOf(text).filter(function (word) {
        if (word.indexOf("area:") !== 0) return true;
        area = word.slice(5);
        return false;
      });
      var wanted = outcome.value;
      var active = words.length > 0 || area !== null || wanted !== "";
      var found = 0;
      var shown = [];
      endpoints.forEach(function (endpoint) {
        var any = false;
        endpoint.cases.forEach(function (it) {
          var match = (!wanted || it.outcomes.indexOf(wanted) >= 0) &&
            (area === null || it.area.toLowerCase().split(/\s+/).join("_") === area) && containsAll(it.words, words);
          it.node.hidden = !match;
          if (match) { any = true; found += 1; }
        });
        endpoint.node.hidden = !any;
        if (any) shown.push(endpoint.node);
      });
      shown.forEach(function (node) { node.open = active && found <= OPEN_MAX; });
      count.textContent = active ? found + (found === 1 ? " case" : " cases") : "";
    }
    function sort() {
      var column = /^column-(\d+)$/.exec(order.value);
      var by = column ? function (a, b) { return b.short[column[1]] - a.short[column[1]] || a.at - b.at; } : {
        given: function (a, b) { return a.at - b.at; },
        most: function (a, b) { return b.all - a.all || a.at - b.at; },
        path: function (a, b) { return a.path < b.path ? -1 : a.path > b.path ? 1 : a.at - b.at; },
      }[order.value];
      endpoints.slice().sort(by).forEach(function (it) { table.appendChild(it.node); });
    }
    // The name of a target puts its differences first.
    all(".matrix-head span", box).slice(1).forEach(function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.title = "most differences first";
      while (head.firstChild) button.appendChild(head.firstChild);
      head.appendChild(button);
      button.addEventListener("click", function () { order.value = "column-" + column; sort(); });
    });
    box.querySelector(".matrix-head").removeAttribute("aria-hidden");
    text.addEventListener("input", later(apply));
    outcome.addEventListener("change", apply);
    order.addEventListener("change", sort);
    form.addEventListener("submit", function (event) { event.preventDefault(); apply(); });
    form.hidden = false;
    return {
      area: function (name) {
        text.value = "area:" + name.toLowerCase().split(/\s+/).join("_");
        outcome.value = "";
        order.value = "most";
        sort();
        apply();
      },
    };
  });
  function showArea(name) { matrices.forEach(function (it) { it.area(name); }); }
  if (matrices.length) {
    all("a[data-area]").forEach(function (link) {
      link.addEventListener("click", function () { showArea(link.dataset.area); });
    });
    var named = /^#area=(.+)$/.exec(location.hash);
    if (named) {
      try { showArea(decodeURIComponent(named[1])); } catch (error) { /* not one of our links */ }
      matrices[0] && document.querySelector(".compat").scrollIntoView();
    }
  }

  // Tables: filter and sort.
  all("form[data-rows]").forEach(function (form) {
    var rows = all("tr", document.getElementById(form.dataset.rows));
    var text = form.querySelector(".filter-text");
    var count = form.querySelector(".filter-count");
    function apply() {
      var words = wordsOf(text);
      var found = 0;
      rows.forEach(function (row) {
        row.hidden = !containsAll((row.textContent + " " + (row.dataset.words || "")).toLowerCase(), words);
        if (!row.hidden) found += 1;
      });
      count.textContent = words.length ? found + " of " + rows.length : "";
    }
    text.addEventListener("input", later(apply));
    form.addEventListener("submit", function (event) { event.preventDefault(); apply(); });
    form.hidden = false;
  });
  all("table.sortable").forEach(function (table) {
    var heads = all("thead th", table);
    heads.forEach(function (head, column) {
      if (!head.dataset.sort) return;
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(button);
      button.addEventListener("click", function () {
        var down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach(function (it) { it.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        var numeric = head.dataset.sort === "number";
        function key(row) {
          var cell = row.children[column];
          var text = cell.dataset.key !== undefined ? cell.dataset.key : cell.textContent.trim();
          return numeric ? Number(text) : text;
        }
        var body = table.tBodies[0];
        all("tr", body).sort(function (a, b) {
          var x = key(a), y = key(b);
          return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
        }).forEach(function (row) { body.appendChild(row); });
      });
    });
  });
})();
