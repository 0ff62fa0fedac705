//! Bodies of answers: piece by piece from the node's runtime to the guest's, bounded in size and in silence.

use std::time::Duration;

use akita_sandbox::{HttpBody, HttpFailure};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;

use super::connect::broken;

/// Pieces that wait for the guest: it is the connection that pushes back.
const BACKLOG: usize = 2;

/// What an answer's body is held to.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes in all.
    pub bytes: u64,
    /// Silence between two pieces.
    pub pause: Duration,
}

type Piece = Result<Frame<Bytes>, HttpFailure>;

/// Reads the body as the guest takes it. `held` is dropped at its end, or when the guest goes away.
pub fn pump<H: Send + 'static>(body: Incoming, bounds: Bounds, held: H) -> HttpBody {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    tokio::spawn(async move {
        tokio::select! {
            () = read(body, bounds, &sender) => {}
            () = sender.closed() => {}
        }
        drop(held);
    });
    let pieces = stream::unfold(receiver, |mut receiver: mpsc::Receiver<Piece>| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    StreamBody::new(pieces).boxed_unsync()
}

async fn read(mut body: Incoming, bounds: Bounds, to: &mpsc::Sender<Piece>) {
    let mut left = bounds.bytes;
    loop {
        let piece = match tokio::time::timeout(bounds.pause, body.frame()).await {
            Err(_elapsed) => Err(HttpFailure::Timeout),
            Ok(None) => return,
            Ok(Some(Err(error))) => Err(broken(&error)),
            Ok(Some(Ok(frame))) => match left.checked_sub(frame.data_ref().map_or(0, |data| data.len() as u64)) {
                Some(less) => {
                    left = less;
                    Ok(frame)
                }
                None => Err(HttpFailure::TooLarge(bounds.bytes)),
            },
        };
        let last = piece.is_err();
        if to.send(piece).await.is_err() || last {
            return;
        }
    }
}
