//! `GET /`: what this is and where to go on, as JSON, or as a page for a browser.

use std::fmt::Write as _;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderMap, Uri};
use axum::response::{Html, IntoResponse as _, Response};
use serde::Serialize;

use super::problem::Problem;
use super::query::Query;
use super::routes::Endpoint;
use super::{App, Backend};

#[derive(Serialize)]
struct Index<'a> {
    name: &'static str,
    version: &'static str,
    node_name: &'a str,
    endpoints: &'a [Endpoint],
}

/// The handler.
pub async fn show<B: Backend>(State(app): State<App<B>>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    Query::read(&uri, &[])?;
    let node_name = &app.backend.status().await?.node_name;
    let index = Index { name: "akita", version: env!("CARGO_PKG_VERSION"), node_name, endpoints: &app.endpoints };
    if !prefers_html(&headers) {
        return Ok(Json(index).into_response());
    }
    // The page needs nothing, so it may load nothing.
    let policy = [(CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")];
    Ok((policy, Html(page(&index))).into_response())
}

/// Browsers name HTML first, programs JSON or anything.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match (accept.find("text/html"), accept.find("application/json")) {
        (Some(html), Some(json)) => html < json,
        (html, _) => html.is_some(),
    }
}

fn page(index: &Index<'_>) -> String {
    let (name, version) = (escape(index.node_name), index.version);
    let mut rows = String::new();
    for Endpoint { method, path, summary } in index.endpoints {
        let shown = escape(path);
        let link = match *method {
            "GET" if !path.contains('{') => format!("<a href=\"{shown}\">{shown}</a>"),
            _ => shown,
        };
        // Writing into a String does not fail.
        let _ = writeln!(rows, "<tr><td>{method}<td>{link}<td>{}", escape(summary));
    }
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\n\
         <title>{name} - akita</title>\n\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;margin:2rem}}td{{padding-right:1.5rem}}</style>\n\
         <h1>{name}</h1><p>An akita node, version {version}.</p>\n<table>\n{rows}</table>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
