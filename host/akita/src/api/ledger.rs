//! The routes of the ledger: rows for people, and rows, heads and proofs that whoever gets them can check.

use akita_core::EventType;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;

use super::problem::{Kind, Problem};
use super::query::{Query, READING};
use super::routes::{Answer, DEFAULT_LIMIT, MAX_LIMIT, one_of, task_id};
use super::{App, Backend, LedgerFilter};
use crate::proof::{HeadView, KeyList, RangeProof, RowProof, RowsPage};
use crate::reading::Consistency;
use crate::view::{JournalView, LedgerPage, VerifyView};

/// `GET /ledger`.
pub async fn view<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<LedgerPage> {
    let query = Query::read(&uri, &["limit", "offset", "event_type", "task_id", "local", READING[0], READING[1]])?;
    let events = || one_of(EventType::ALL.iter().map(|event| event.as_str()));
    let filter = LedgerFilter {
        limit: query.limit(DEFAULT_LIMIT, MAX_LIMIT)?,
        offset: query.number("offset", 0..=u64::MAX)?.unwrap_or(0),
        event: query.word("event_type", EventType::parse, events)?,
        task: query.word("task_id", task_id, || "a task id, such as 01890a5d-ac96-774b-bcce-b302099a8057".into())?,
        local: query.flag("local")?,
    };
    let reading = query.reading()?;
    if filter.local && reading.consistency == Consistency::Linearizable {
        let detail = "`local` and `consistency=linearizable` do not go together";
        return Err(Problem::new(Kind::BadRequest, detail).hint("`local` is this node's own ledger, whoever leads"));
    }
    Ok(Json(app.backend.ledger(filter, reading).await?))
}

/// `GET /ledger/verify`.
pub async fn verify<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<VerifyView> {
    let local = Query::read(&uri, &["local"])?.flag("local")?;
    Ok(Json(app.backend.verify(local).await?))
}

/// `GET /ledger/head`.
pub async fn head<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<HeadView> {
    let local = Query::read(&uri, &["local"])?.flag("local")?;
    Ok(Json(app.backend.ledger_head(local).await?))
}

/// `GET /ledger/rows`.
pub async fn rows<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<RowsPage> {
    let query = Query::read(&uri, &["from", "limit", "local"])?;
    let from = query.number("from", 0..=u64::MAX)?.unwrap_or(0);
    let limit = query.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    Ok(Json(app.backend.ledger_rows(from, limit, query.flag("local")?).await?))
}

/// `GET /ledger/proof/{index}`.
pub async fn row<B: Backend>(
    State(app): State<App<B>>,
    index: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Answer<RowProof> {
    let local = Query::read(&uri, &["local"])?.flag("local")?;
    let text = index.as_ref().map_or("?", |Path(text)| text.as_str());
    let index = text.parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Problem::new(Kind::BadRequest, format!("`{shown}` is no row of a ledger")).hint("rows are counted from 0")
    })?;
    Ok(Json(app.backend.prove_row(index, local).await?))
}

/// `GET /ledger/range`.
pub async fn range<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<RangeProof> {
    let query = Query::read(&uri, &["from", "to", "local"])?;
    let from = query.number("from", 0..=u64::MAX)?.unwrap_or(0);
    let Some(to) = query.number("to", 0..=u64::MAX)?.filter(|to| *to > from) else {
        let detail = "`to` is missing or not above `from`";
        return Err(Problem::new(Kind::BadRequest, detail).hint("`to` is the row after the last one that is meant"));
    };
    Ok(Json(app.backend.prove_range(from, to, query.flag("local")?).await?))
}

/// `GET /ledger/journal`.
pub async fn journal<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<JournalView> {
    let limit = Query::read(&uri, &["limit"])?.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    Ok(Json(app.backend.journal(limit).await?))
}

/// `GET /ledger/keys`.
pub async fn keys<B: Backend>(State(app): State<App<B>>, uri: Uri) -> Answer<KeyList> {
    Query::read(&uri, &[])?;
    Ok(Json(app.backend.ledger_keys()))
}
