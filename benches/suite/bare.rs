//! The baseline of the cached search: an axum handler that answers the same bytes and does nothing.

use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use std::io::Write as _;
use std::path::Path;

/// Serves the file's bytes on a free port, which it prints.
pub async fn serve(file: &Path) -> anyhow::Result<()> {
    let body = Bytes::from(std::fs::read(file)?);
    let answer = async move || ([(CONTENT_TYPE, "application/json")], body.clone());
    let router = axum::Router::new().route("/", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "http://{}", listener.local_addr()?)?;
    axum::serve(listener, router.into_make_service()).await?;
    Ok(())
}
