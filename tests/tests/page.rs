//! The report as a page, opened in a browser: what it shows, and that what strangers wrote in it does nothing.

use std::process::Command;
use std::time::Duration;

use whywait_tests::{
    Client, DemoServer, Load, Signal, Whywait, kernel_test, patience, skip, whywait_command,
};

/// A path that, as markup, would change the page's title in three ways.
const HOSTILE: &str =
    "/</script><script>document.title='run'</script><img/src=x/onerror=document.title='run'>";

/// The page as the browser has made it, and what its console said.
fn opened(page: &str, profile: &str) -> Option<(String, String)> {
    let mut browser = Command::new("chromium");
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .args([
            "--virtual-time-budget=5000",
            &format!("--user-data-dir={profile}"),
            &format!("file://{page}"),
        ]);
    let Ok(output) = browser.output() else {
        skip("browser", "chromium is not installed");
        return None;
    };
    assert!(output.status.success(), "chromium ended with {}", output.status);
    let errors = String::from_utf8_lossy(&output.stderr);
    let console = errors.lines().filter(|line| line.contains("CONSOLE")).collect();
    Some((String::from_utf8_lossy(&output.stdout).into_owned(), console))
}

#[test]
fn a_browser_shows_the_page_and_runs_nothing_that_a_route_is_called() {
    let Some(_serial) = kernel_test() else { return };
    let dir = tempfile::tempdir().expect("making a directory");
    let file = |name: &str| dir.path().join(name).to_str().expect("a path in text").to_owned();
    let (recorded, page) = (file("f"), file("page.html"));
    let server = DemoServer::start("thread-pool", &[]);
    let recording = Whywait::attach(&["record", "--pid", &server.pid().to_string(), "-o", &recorded]);
    let load = Load::new(server.url("/lock?us=3000"), 200, 3).connections(8).close().poisson();
    load.and(server.url("/cpu?us=500")).run();
    Client::connect(&server.address().to_string()).ask(HOSTILE);
    // What the server did last is still on its way to the file.
    std::thread::sleep(patience(Duration::from_millis(300)));
    recording.signal(Signal::INT);
    assert!(recording.end(Duration::ZERO).status.success(), "recording");
    let report = whywait_command(&["report", &recorded, "--json"]).output().expect("starting whywait");
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).expect("one JSON object");
    let status = whywait_command(&["report", &recorded, "--html", &page]).status().expect("starting whywait");
    assert!(status.success(), "the page: {status}");

    let Some((shown, console)) = opened(&page, &file("profile")) else { return };
    assert_eq!(console, "", "the browser's console");
    assert!(shown.contains("<title>whywait: demo-servers</title>"), "no script changes the title");
    assert!(!shown.contains("<img"), "no name becomes markup");
    assert!(shown.contains("/&lt;/script&gt;&lt;script&gt;document.title"), "the route is shown as it is");
    let advice = report["findings"][0]["advice"].as_str().expect("a finding of the lock");
    assert!(shown.contains(advice), "the finding's advice: {advice}");
    for id in ["stacked", "heat", "histogram", "flame"] {
        assert!(shown.contains(&format!("<figure id=\"{id}\"><svg")), "{id} is drawn");
    }
    assert!(shown.contains("class=\"fall\""), "a request is drawn state by state");
}
