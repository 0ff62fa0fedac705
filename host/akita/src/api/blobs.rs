//! The routes of blobs: bytes in, bytes out, in pieces, so that many readers of large blobs take little memory.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::try_unfold;

use super::problem::{Kind, Problem};
use super::query::Query;
use super::routes::{DEFAULT_LIMIT, MAX_LIMIT};
use super::{App, Backend, MAX_WAIT};
use crate::blobs::{BlobId, DEFAULT_WAIT};
use crate::view::{BlobList, NodeError};

/// Bytes that are read at once for one client.
const PIECE_BYTES: usize = 256 << 10;

/// `GET /blobs`.
pub async fn list<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Result<Json<BlobList>, Problem> {
    let limit = Query::read(&uri, &["limit"])?.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    Ok(Json(app.backend.blobs(limit).await?))
}

/// `POST /blobs`.
pub async fn put<B: Backend>(State(app): State<App<B>>, request: Request) -> Result<Response, Problem> {
    Query::read(request.uri(), &[])?;
    if !app.backend.healthy() {
        return Err(NodeError::Stopping.into());
    }
    let limit = app.blob_max_bytes;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let held = app.intake.raw(request, most, || NodeError::BlobTooLarge { limit }.into()).await?;
    let put = app.backend.put_blob(held.bytes.to_vec()).await?;
    drop(held.right);
    Ok((StatusCode::CREATED, Json(put)).into_response())
}

/// `GET /blobs/{id}`; the router answers HEAD with its head.
pub async fn get<B: Backend>(State(app): State<App<B>>, id: BlobPath, uri: Uri) -> Result<Response, Problem> {
    let id = named(&id)?;
    let query = Query::read(&uri, &["wait"])?;
    let wait = query.seconds_or("wait", DEFAULT_WAIT, MAX_WAIT)?;
    let size = app.backend.blob_size(id, wait).await?;
    let backend = app.backend.clone();
    let pieces = try_unfold((backend, 0_u64), move |(backend, offset)| async move {
        if offset >= size {
            return Ok(None);
        }
        let piece = backend.blob_piece(id, offset, PIECE_BYTES).await?;
        let next = offset + piece.len() as u64;
        // Removed in this moment: the client sees that bytes are missing.
        let empty = NodeError::NoSuchBlob { id: id.to_string() };
        if piece.is_empty() { Err(empty) } else { Ok(Some((Bytes::from(piece), (backend, next)))) }
    });
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, size.to_string()),
        // The name of the content is the best tag that there can be.
        (ETAG, format!("\"{id}\"")),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// `DELETE /blobs/{id}`.
pub async fn remove<B: Backend>(State(app): State<App<B>>, id: BlobPath, uri: Uri) -> Result<StatusCode, Problem> {
    Query::read(&uri, &[])?;
    app.backend.remove_blob(named(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

type BlobPath = Result<Path<String>, PathRejection>;

fn named(id: &BlobPath) -> Result<BlobId, Problem> {
    let text = id.as_ref().map_or("?", |Path(text)| text.as_str());
    BlobId::parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        let detail = format!("`{shown}` is no id of a blob");
        Problem::new(Kind::BadRequest, detail).hint("it is 64 lower-case hexadecimal digits: BLAKE3 of the bytes")
    })
}
