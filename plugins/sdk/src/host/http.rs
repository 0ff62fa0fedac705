//! A request by `wasi:http`: its resources in the order in which they have to be made and dropped.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

use crate::http::{Error, Request, Response, Url};

/// What WASI takes in one write that waits.
const WRITE_BYTES: usize = 4096;
/// What is read at once: a page of memory.
const READ_BYTES: u64 = 64 << 10;
/// WASI counts in nanoseconds.
const NANOSECONDS: u64 = 1_000_000;

pub(crate) fn send(request: &Request, url: &Url<'_>) -> Result<Response, Error> {
    let outgoing = outgoing(request, url)?;
    let body = outgoing.body().map_err(|()| bad("the body"))?;
    let pending = outgoing_handler::handle(outgoing, options(request)?).map_err(failed)?;
    write(body, &request.body)?;
    pending.subscribe().block();
    let response = pending.get().and_then(Result::ok).ok_or_else(|| cut_off("the request ended without an answer"))?;
    read(response.map_err(failed)?, request.max_bytes)
}

fn outgoing(request: &Request, url: &Url<'_>) -> Result<OutgoingRequest, Error> {
    let headers: Vec<(String, Vec<u8>)> =
        request.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect();
    let headers = Fields::from_list(&headers).map_err(|_| bad("a header"))?;
    let outgoing = OutgoingRequest::new(headers);
    outgoing.set_method(&method(&request.method)).map_err(|()| bad("the method"))?;
    let scheme = if url.secure { Scheme::Https } else { Scheme::Http };
    outgoing.set_scheme(Some(&scheme)).map_err(|()| bad("the scheme"))?;
    outgoing.set_authority(Some(url.authority)).map_err(|()| bad("the host"))?;
    let path = if url.rest.starts_with('/') { url.rest.into() } else { format!("/{}", url.rest) };
    outgoing.set_path_with_query(Some(&path)).map_err(|()| bad("the path"))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.into()),
    }
}

fn options(request: &Request) -> Result<Option<RequestOptions>, Error> {
    let Some(milliseconds) = request.timeout_ms else { return Ok(None) };
    let time = Some(u64::from(milliseconds) * NANOSECONDS);
    let options = RequestOptions::new();
    let set = options.set_connect_timeout(time);
    let set = set.and_then(|()| options.set_first_byte_timeout(time));
    set.and_then(|()| options.set_between_bytes_timeout(time)).map_err(|()| bad("the time limit"))?;
    Ok(Some(options))
}

fn write(body: OutgoingBody, bytes: &[u8]) -> Result<(), Error> {
    if !bytes.is_empty() {
        let stream = body.write().map_err(|()| bad("the body"))?;
        for piece in bytes.chunks(WRITE_BYTES) {
            // A server may answer before it has read all: what it says counts, so the answer is still looked at.
            if stream.blocking_write_and_flush(piece).is_err() {
                return Ok(());
            }
        }
    }
    OutgoingBody::finish(body, None).map_err(failed)
}

fn read(response: IncomingResponse, max_bytes: u64) -> Result<Response, Error> {
    let text = |(name, value): (String, Vec<u8>)| (name, String::from_utf8_lossy(&value).into_owned());
    let headers = response.headers().entries().into_iter().map(text).collect();
    let status = response.status();
    let incoming = response.consume().map_err(|()| cut_off("there is no body"))?;
    let body = read_body(&incoming, max_bytes)?;
    Ok(Response { status, headers, body })
}

fn read_body(incoming: &IncomingBody, max_bytes: u64) -> Result<Vec<u8>, Error> {
    let stream = incoming.stream().map_err(|()| cut_off("there is no body"))?;
    let mut body = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(piece) => body.extend_from_slice(&piece),
            Err(StreamError::Closed) => return Ok(body),
            Err(StreamError::LastOperationFailed(why)) => return Err(cut_off(&why.to_debug_string())),
        }
        if body.len() as u64 > max_bytes {
            return Err(Error::TooLarge(max_bytes));
        }
    }
}

fn failed(code: ErrorCode) -> Error {
    match code {
        ErrorCode::HttpRequestDenied => Error::Denied,
        ErrorCode::HttpRequestUriInvalid => bad("the address"),
        ErrorCode::HttpRequestMethodInvalid => bad("the method"),
        ErrorCode::InternalError(Some(why)) => Error::Unavailable(why),
        other => Error::Unavailable(format!("{other:?}")),
    }
}

fn bad(what: &str) -> Error {
    Error::Bad(format!("{what} is not valid"))
}

fn cut_off(why: &str) -> Error {
    Error::Unavailable(why.into())
}
