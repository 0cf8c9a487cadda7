// The page is complete without this script; it only adds the filter.
(function () {
  "use strict";
  var form = document.getElementById("filters");
  if (!form) return;
  var text = document.getElementById("filter-text");
  var outcome = document.getElementById("filter-outcome");
  var count = document.getElementById("filter-count");
  // Rows are opened for the reader only while few match.
  var OPEN_MAX = 60;
  var endpoints = Array.prototype.map.call(document.querySelectorAll(".endpoint"), function (node) {
    var path = node.querySelector(".path").textContent.toLowerCase();
    var cases = Array.prototype.map.call(node.querySelectorAll(".case"), function (item) {
      return {
        node: item,
        words: path + " " + item.dataset.area.toLowerCase() + " " + item.textContent.toLowerCase(),
        outcomes: item.dataset.outcomes.split(" "),
      };
    });
    return { node: node, cases: cases };
  });
  function apply() {
    var words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    var wanted = outcome.value;
    var active = words.length > 0 || wanted !== "";
    var found = 0;
    var shown = [];
    endpoints.forEach(function (endpoint) {
      var any = false;
      endpoint.cases.forEach(function (it) {
        var match = (!wanted || it.outcomes.indexOf(wanted) >= 0) &&
          words.every(function (word) { return it.words.indexOf(word) >= 0; });
        it.node.hidden = !match;
        if (match) { any = true; found += 1; }
      });
      endpoint.node.hidden = !any;
      if (any) shown.push(endpoint.node);
    });
    shown.forEach(function (node) { node.open = active && found <= OPEN_MAX; });
    count.textContent = active ? found + (found === 1 ? " case" : " cases") : "";
  }
  var timer = 0;
  function soon() { clearTimeout(timer); timer = setTimeout(apply, 120); }
  text.addEventListener("input", soon);
  outcome.addEventListener("change", apply);
  form.addEventListener("submit", function (event) { event.preventDefault(); apply(); });
  document.querySelectorAll("a[data-area]").forEach(function (link) {
    link.addEventListener("click", function () { text.value = link.dataset.area; outcome.value = ""; apply(); });
  });
  form.hidden = false;
})();
