//! The published pages in a real browser: they run without complaint, filter, sort, open, and fit a phone.
//!
//! Without a browser on the machine the check is skipped and says so; `TANDEM_REQUIRE_BROWSER=1` makes that a failure.
//! `TANDEM_SCREENSHOTS=DIR` keeps the pictures, `TANDEM_SCREENSHOTS_OF=SITE` takes them of another site as well.

mod devtools;

use std::path::{Path, PathBuf};

use devtools::Browser;

use super::fixture;

const PHONE: (u32, u32) = (390, 844);
const DESKTOP: (u32, u32) = (1280, 900);

/// The browser, or the reason why nothing is checked.
fn browser() -> Option<Browser> {
    match devtools::find() {
        Some(program) => Some(Browser::start(&program)),
        None if std::env::var_os("TANDEM_REQUIRE_BROWSER").is_some_and(|it| it == "1") => {
            panic!("TANDEM_REQUIRE_BROWSER=1, and there is no chromium on the PATH")
        }
        None => {
            eprintln!("SKIPPED: no chromium on the PATH; the pages were not looked at in a browser");
            None
        }
    }
}

/// A site of two runs; the second is older and has other targets and no calls.
fn site(dir: &Path) {
    let newer = fixture::sample();
    let mut older = fixture::sample();
    older.run.id = "2025-12-01T00-00-00Z-full".into();
    older.run.started_at = "2025-12-01T00:00:00Z".into();
    older.run.profile = "full".into();
    older.conformance = None;
    crate::report::publish(&[older, newer], dir).unwrap();
}

fn report() -> String {
    format!("runs/{}/index.html", fixture::sample().run.id)
}

#[test]
fn pages_work_in_a_browser() {
    let Some(mut browser) = browser() else { return };
    let dir = tempfile::tempdir().unwrap();
    site(dir.path());
    filters_sorts_and_opens(&mut browser, &dir.path().join("compatibility.html"));
    filters_sorts_and_opens(&mut browser, &dir.path().join(report()));
    timelines(&mut browser, &dir.path().join(report()));
    table_of_runs(&mut browser, &dir.path().join("index.html"));
    area_link(&mut browser, dir.path());
    let pages = ["index.html", "compatibility.html", "method.html", &report()];
    fits(&mut browser, dir.path(), &pages);
    assert!(browser.errors.is_empty(), "the pages complained: {:#?}", browser.errors);
    if let Some(other) = std::env::var_os("TANDEM_SCREENSHOTS_OF").map(PathBuf::from) {
        fits(&mut browser, &other, &["index.html", "compatibility.html", "method.html"]);
    }
}

/// Not a check: `TANDEM_PICTURE_OF=SITE` takes the pictures that the README shows of a published site, and puts them
/// beside it.
#[test]
fn picture_of_a_published_site() {
    let Some(site) = std::env::var_os("TANDEM_PICTURE_OF").map(PathBuf::from) else { return };
    // Tests run in the folder of the crate; the site is named from where the command was given.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let site = root.join(site).canonicalize().unwrap();
    let program = devtools::find().expect("a picture needs chromium on the PATH");
    let mut browser = Browser::start(&program);
    for (dark, name) in [(false, "overview-light.png"), (true, "overview-dark.png")] {
        browser.open(&site.join("index.html"), "", (1120, 640), dark);
        std::fs::write(site.parent().unwrap().join(name), browser.picture()).unwrap();
    }
    assert!(browser.errors.is_empty(), "the site complained: {:#?}", browser.errors);
}

/// In the first matrix of the page, as everything below.
const VISIBLE_ENDPOINTS: &str = "document.querySelector('.compat').querySelectorAll('.endpoint:not([hidden])').length";
const VISIBLE_CASES: &str = "document.querySelector('.compat').querySelectorAll('.case:not([hidden])').length";

fn filters_sorts_and_opens(browser: &mut Browser, page: &Path) {
    browser.open(page, "", DESKTOP, false);
    let (endpoints, cases) = (browser.number(VISIBLE_ENDPOINTS), browser.number(VISIBLE_CASES));
    assert!(endpoints > 3 && cases > 100, "{endpoints} endpoints, {cases} cases");

    // A click on a row shows where the answers part.
    let shown = "document.querySelector('.endpoint mark.obs').checkVisibility()";
    assert_eq!(browser.eval(shown), false);
    browser.eval("document.querySelector('.endpoint mark.obs').closest('.endpoint').classList.add('wanted')");
    browser.click(".endpoint.wanted > summary");
    browser.until(shown);

    // What is typed hides the rows without it.
    browser.write(".compat .filter-text", "differs at character");
    browser.until(&format!("{VISIBLE_ENDPOINTS} === 1 && {VISIBLE_CASES} === 1"));
    assert_eq!(browser.eval("document.querySelector('.compat .filter-count').textContent"), "1 case");
    browser.write(".compat .filter-text", "no such thing");
    browser.until(&format!("{VISIBLE_ENDPOINTS} === 0"));
    browser.eval("document.querySelector('.compat .filter-text').value = ''");
    browser.write(".compat .filter-text", " ");
    browser.until(&format!("{VISIBLE_ENDPOINTS} === {endpoints} && {VISIBLE_CASES} === {cases}"));

    // What breaks comes first; the order follows the choice, and the name of a target puts its differences first.
    let order = |browser: &mut Browser, key: &str| -> Vec<f64> {
        let list = format!("Array.from(document.querySelector('.compat').querySelectorAll('.endpoint'), it => {key})");
        serde_json::from_value(browser.eval(&list)).unwrap()
    };
    let short = |column: usize| format!("Number(it.dataset.short.split(' ')[{column}])");
    let all = "it.dataset.short.split(' ').reduce((sum, it) => sum + Number(it), 0)";
    let place = "Number(it.dataset.at)";
    let falls = |list: &[f64]| list.is_sorted_by(|a, b| a >= b) && list.first() > list.last();
    let first = order(browser, all);
    assert!(falls(&first), "{first:?}");
    choose(browser, "given");
    let given = order(browser, place);
    assert!(given.is_sorted(), "{given:?}");
    assert!(!falls(&order(browser, all)), "the sample is in this order anyway");
    for column in [0, 1] {
        browser.click(&format!(".compat .matrix-head span:nth-child({}) button", column + 2));
        let sorted = order(browser, &short(column));
        assert!(falls(&sorted), "{column}: {sorted:?}");
    }
    choose(browser, "most");
    assert_eq!(order(browser, all), first);
}

fn choose(browser: &mut Browser, value: &str) {
    browser.eval(&format!(
        "(() => {{ const it = document.querySelector('.compat .sort'); it.value = '{value}'; \
         it.dispatchEvent(new Event('change', {{bubbles: true}})); }})()"
    ));
}

fn table_of_runs(browser: &mut Browser, page: &Path) {
    browser.open(page, "", DESKTOP, false);
    let profiles = "Array.from(document.querySelectorAll('#run-rows tr:not([hidden])'), it => it.cells[1].textContent)";
    assert_eq!(browser.eval(profiles), serde_json::json!(["quick", "full"]));
    browser.click(".runs th:nth-child(2) button");
    browser.click(".runs th:nth-child(2) button");
    browser.until("document.querySelector('.runs th:nth-child(2)').getAttribute('aria-sort') === 'ascending'");
    assert_eq!(browser.eval(profiles), serde_json::json!(["full", "quick"]));
    browser.write("#runs .filter-text", "full");
    browser.until("document.querySelectorAll('#run-rows tr:not([hidden])').length === 1");
    assert_eq!(browser.eval(profiles), serde_json::json!(["full"]));
}

/// A scenario that did not hold is open, and its timeline is drawn for this screen.
fn timelines(browser: &mut Browser, page: &Path) {
    for (screen, drawn) in [(DESKTOP, "wide"), (PHONE, "narrow")] {
        browser.open(page, "", screen, false);
        let shown = format!("document.querySelector('#faults .scenario svg.{drawn}').checkVisibility()");
        assert_eq!(browser.eval(&shown), true, "{drawn}");
        browser.click("#faults .scenario > summary");
        browser.until(&format!("!{shown}"));
        let scaling = format!("document.querySelector('#scaling svg.{drawn}').checkVisibility()");
        assert_eq!(browser.eval(&scaling), true, "{drawn}");
    }
}

/// A number of the overview leads to the calls it counts.
fn area_link(browser: &mut Browser, dir: &Path) {
    browser.open(&dir.join("index.html"), "", DESKTOP, false);
    let link = browser.eval("document.querySelector('.areas a[data-area=beat]').getAttribute('href')");
    let fragment = link.as_str().unwrap().strip_prefix("compatibility.html").unwrap().to_owned();
    browser.open(&dir.join("compatibility.html"), &fragment, DESKTOP, false);
    let areas =
        "Array.from(new Set(Array.from(document.querySelectorAll('.case:not([hidden])'), it => it.dataset.area)))";
    assert_eq!(browser.eval(areas), serde_json::json!(["beat"]));
}

/// No page is wider than the screen, and light and dark are two different things.
fn fits(browser: &mut Browser, dir: &Path, pages: &[&str]) {
    let keep = std::env::var_os("TANDEM_SCREENSHOTS").map(PathBuf::from);
    for page in pages {
        for (screen, name) in [(PHONE, "phone"), (DESKTOP, "desktop")] {
            let mut pictures = Vec::new();
            for dark in [false, true] {
                browser.open(&dir.join(page), "", screen, dark);
                assert_eq!(browser.number("innerWidth"), i64::from(screen.0), "{page} at {name}");
                // Open rows are the widest.
                browser.eval("document.querySelectorAll('.endpoint').forEach((it, at) => { it.open = at < 20; })");
                let wide = browser.number("document.documentElement.scrollWidth");
                assert!(wide <= i64::from(screen.0), "{page} is {wide} px wide on a screen of {}", screen.0);
                browser.eval("document.querySelectorAll('.endpoint').forEach(it => { it.open = false; })");
                let picture = browser.picture();
                if let Some(keep) = &keep {
                    std::fs::create_dir_all(keep).unwrap();
                    let scheme = if dark { "dark" } else { "light" };
                    let page = page.replace('/', "-");
                    std::fs::write(keep.join(format!("{page}-{name}-{scheme}.png")), &picture).unwrap();
                }
                pictures.push(picture);
            }
            assert!(pictures.iter().all(|it| it.len() > 5_000), "{page} at {name} is blank");
            assert_ne!(pictures[0], pictures[1], "{page} looks the same in the dark");
        }
    }
}
