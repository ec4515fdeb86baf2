//! The page at `/`: what it is served with, what it loads, and how much that is.

use crate::support::jwt::signed_by;
use crate::support::{Answer, TestApp};
use airline_booking::config::RateLimit;
use axum::body::Body;
use http::{Method, Request};
use std::collections::BTreeSet;

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
/// Of all its files together, in bytes as they are sent.
const SIZE_MAX: usize = 60_000;

async fn ask(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(Method::GET).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.send(request.body(Body::empty()).expect("a request")).await
}

async fn page(app: &TestApp) -> Answer {
    ask(app, "/", &[("accept", BROWSER)]).await
}

/// The paths in a document's attributes.
fn links(html: &str) -> BTreeSet<&str> {
    let named = html.split(['"', '\'']).filter(|part| part.starts_with("page/"));
    named.collect()
}

fn is_module(path: &str) -> bool {
    path.rsplit('.').next() == Some("js")
}

/// What a module imports, by static and dynamic imports, as paths from the root.
fn imports(path: &str, text: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').expect("a folder").0;
    let quoted = text.split('"').skip(1).step_by(2).filter(|part| is_module(part));
    let paths = quoted.map(|part| match part.strip_prefix("../") {
        Some(rest) => format!("{}/{rest}", folder.rsplit_once('/').expect("a folder").0),
        None => format!("{folder}/{}", part.strip_prefix("./").expect("a relative path")),
    });
    paths.collect()
}

/// The page's files, those that its modules import among them, and their texts.
async fn files(app: &TestApp) -> Vec<(String, Answer)> {
    let html = page(app).await;
    let mut left: Vec<String> = links(&html.text).iter().map(|path| format!("/{path}")).collect();
    // Named by a variable in `main.js`.
    let main = left.iter().find(|path| path.ends_with("/main.js")).expect("the first module");
    let views = main.replace("main.js", "views");
    left.extend(["book", "find", "staff", "trip", "wait"].map(|name| format!("{views}/{name}.js")));
    let mut found: Vec<(String, Answer)> = Vec::new();
    while let Some(path) = left.pop() {
        if found.iter().any(|(known, _)| *known == path) {
            continue;
        }
        let answer = app.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        if is_module(&path) {
            left.extend(
                imports(&path, &answer.text).into_iter().filter(|path| !path.contains('$')),
            );
        }
        found.push((path, answer));
    }
    found
}

#[tokio::test]
async fn browsers_get_a_page_that_may_load_its_own_files_alone() {
    let app = TestApp::start().await;
    let page = page(&app).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert_eq!(page.header("vary"), Some("accept, accept-encoding"));
    let policy = page.header("content-security-policy").expect("a policy");
    let rules: Vec<_> = policy.split("; ").collect();
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(rules.contains(&rule), "{rule}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    // Nothing that this policy would forbid.
    for part in [" style=", "<style", "onclick", "javascript:", "{{"] {
        assert!(!page.text.contains(part), "{part}: {}", page.text);
    }
    let scripts = page.text.matches("<script").count();
    assert_eq!(scripts, page.text.matches("<script type=\"module\" src=\"page/").count());
    app.finish().await;
}

#[tokio::test]
async fn every_file_of_the_page_is_served_and_names_no_other_host() {
    let app = TestApp::start().await;
    let files = files(&app).await;
    assert!(files.len() > 15, "{}", files.len());
    for (path, file) in &files {
        let kind = match path.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(file.header("content-type"), Some(kind), "{path}");
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"), "{path}");
        // The namespaces of SVG are names and no addresses.
        let text = file.text.replace("http://www.w3.org/2000/svg", "");
        for part in ["http:", "https:", "\"//", "innerHTML", "eval(", "@import", "url("] {
            assert!(!text.contains(part), "{path}: {part}");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn all_of_the_page_is_small() {
    let app = TestApp::start().await;
    let mut paths: Vec<String> = files(&app).await.into_iter().map(|(path, _)| path).collect();
    let html = page(&app).await;
    let first: usize = {
        let mut sum = html.text.len();
        for path in links(&html.text) {
            sum += app.get(&format!("/{path}")).await.text.len();
        }
        sum
    };
    assert!(first < SIZE_MAX, "the first view takes {first} bytes, uncompressed");
    paths.push("/".into());
    let mut all = 0;
    for path in &paths {
        let request = Request::get(path.as_str()).header("accept", BROWSER);
        let request = request.header("accept-encoding", "gzip").body(Body::empty());
        all += app.send_raw(request.expect("a request")).await.0.len();
    }
    assert!(all < SIZE_MAX, "all views take {all} bytes");
    app.finish().await;
}

#[tokio::test]
async fn browsers_keep_the_files_and_ask_whether_the_page_has_changed() {
    let app = TestApp::start().await;
    let html = page(&app).await;
    let tag = html.header("etag").expect("a tag");
    let known = ask(&app, "/", &[("accept", BROWSER), ("if-none-match", tag)]).await;
    assert_eq!((known.status.as_u16(), known.text.as_str()), (304, ""));
    assert_eq!(
        (known.header("etag"), known.header("cache-control")),
        (Some(tag), Some("no-cache"))
    );

    let path = links(&html.text).into_iter().find(|path| path.ends_with("style.css"));
    let path = format!("/{}", path.expect("a style"));
    let file = app.get(&path).await;
    let kept = "public, max-age=31536000, immutable";
    assert_eq!(file.header("cache-control"), Some(kept));
    let tag = file.header("etag").expect("a tag");
    let known = ask(&app, &path, &[("if-none-match", tag)]).await;
    assert_eq!((known.status.as_u16(), known.header("cache-control")), (304, Some(kept)));

    // A page of another release, of which a proxy sent the request here.
    let version = path.split('/').nth(2).expect("a version");
    let other = app.get(&path.replace(version, "0123456789abcdef")).await;
    assert_eq!((other.status.as_u16(), &other.text), (200, &file.text));
    assert_eq!(other.header("cache-control"), Some("no-cache"));
    for path in ["/page", "/page/x", "/page/x/none.js", "/page/x/../mod.rs", "/page/x/mod.rs"] {
        app.get(path).await.assert_problem(404, "not_found");
    }
    app.finish().await;
}

#[tokio::test]
async fn the_files_of_a_page_do_not_use_up_its_clients_requests() {
    let app = TestApp::with(|config| {
        config.rate_limit = Some(RateLimit { per_second: 1, burst: 5 });
    })
    .await;
    let html = page(&app).await;
    for path in links(&html.text) {
        assert_eq!(app.get(&format!("/{path}")).await.status, 200, "{path}");
    }
    let search = "/api/v1/flights/search?source=Delhi&destination=Mumbai&date=2025-01-20";
    assert_eq!(app.get(search).await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn the_page_knows_whether_callers_need_a_token() {
    let app = TestApp::start().await;
    let open = page(&app).await;
    let settings =
        "data-auth=\"off\" data-gateway=\"simulated\" data-zone=\"UTC\" data-party=\"9\"";
    assert!(open.text.contains(settings), "{}", open.text);
    app.finish().await;
    let app = TestApp::with(|config| {
        config.auth = Some(signed_by("a secret of thirty-two bytes, or more"));
    })
    .await;
    let closed = page(&app).await;
    assert_eq!(closed.status, 200);
    assert!(closed.text.contains("data-auth=\"jwt\""), "{}", closed.text);
    app.finish().await;
}
