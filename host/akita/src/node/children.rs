//! The node as the tasks that run on it see it: it has the cluster accept their children, and waits for the end of each.
//! It keeps no child in the outbox: whose parent runs can be told at once that nobody takes it.

use std::{future::Future, pin::Pin, time::Duration};

use akita_core::{Content, Failure, Outcome, Status, TaskId};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{Node, Reach, convert, internal};
use crate::{
    driver::Incoming,
    executor::{Ended, Home},
    store::TaskRecord,
    view::{NodeError, TaskView},
};

/// How long one look waits for a child's end; who looked looks again.
const LOOK: Duration = Duration::from_secs(30);

impl Node {
    async fn submit_children(&self, children: Vec<Incoming>) -> Result<(), NodeError> {
        for (at, child) in children.iter().enumerate() {
            if let Some(detail) = self.over_time(child.spec.timeout_ms) {
                let hint = "a child gets no more time than any task".into();
                return Err(NodeError::Invalid { detail: format!("child {at}: {detail}"), hint });
            }
        }
        self.permit(&children)?;
        let children = self.plugins.check(children).await?;
        self.hand_in(&children).await.map(drop)
    }

    async fn look_for_end(&self, id: TaskId) -> Result<Option<Ended>, NodeError> {
        let Some(view) = self.look_up(id, LOOK, Reach::Cluster).await? else { return Ok(None) };
        if !convert::is_end(&view.status) {
            return Ok(Some(Ended::NotYet));
        }
        // From the own books as it was written; other nodes tell what they show.
        match self.store.task(id).await.map_err(internal)? {
            Some(record) if record.meta.task.status.is_end() => Ok(Some(of_record(record))),
            _ => Ok(Some(of_view(view))),
        }
    }
}

fn of_record(record: TaskRecord) -> Ended {
    let TaskRecord { meta, result } = record;
    let failure = || Failure {
        message: meta.task.reason.clone().unwrap_or_default(),
        code: meta.code.clone(),
        pointer: meta.pointer.clone(),
        retry_after_ms: None,
    };
    match meta.task.status {
        Status::Cancelled => Ended::Cancelled,
        Status::Completed => Ended::With(result.map_or_else(|| Outcome::Failed(gone()), Outcome::Completed)),
        _ => Ended::With(Outcome::Failed(failure())),
    }
}

fn of_view(view: TaskView) -> Ended {
    if view.status == Status::Cancelled.as_str() {
        return Ended::Cancelled;
    }
    if let Some(error) = view.error {
        let (message, code, pointer) = (error.message, error.code, error.pointer);
        return Ended::With(Outcome::Failed(Failure { message, code, pointer, retry_after_ms: None }));
    }
    let json = view.result.map(|result| result.to_string().into_bytes());
    let body = json.or_else(|| BASE64_STANDARD.decode(view.result_base64?).ok());
    let content = view.content_type.zip(body).map(|(content_type, body)| Content { content_type, body });
    Ended::With(content.map_or_else(|| Outcome::Failed(gone()), Outcome::Completed))
}

/// The task was done, and its result has been thrown away since.
fn gone() -> Failure {
    let message = "its result is not kept any more (RESULT_RETENTION_S)".to_owned();
    Failure { message, code: Some("result-gone".into()), pointer: None, retry_after_ms: None }
}

impl Home for Node {
    fn submit(&self, children: Vec<Incoming>) -> Pin<Box<dyn Future<Output = Result<(), NodeError>> + Send + '_>> {
        Box::pin(self.submit_children(children))
    }

    fn end_of(&self, task: TaskId) -> Pin<Box<dyn Future<Output = Result<Option<Ended>, NodeError>> + Send + '_>> {
        Box::pin(self.look_for_end(task))
    }
}

#[cfg(test)]
mod tests {
    use akita_core::NodeId;

    use super::*;

    fn view(json: serde_json::Value) -> TaskView {
        let mut all = serde_json::json!({
            "task_id": TaskId([1; 16]).to_string(), "action": "a/b", "status": "completed", "priority": 10, "attempts": 1,
            "required_capabilities": [], "origin_id": NodeId([1; 16]).to_string(),
        });
        all.as_object_mut().unwrap().extend(json.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn what_another_node_shows_of_a_child_becomes_its_end() {
        let json = view(serde_json::json!({ "result": { "b": 1.50, "a": null }, "content_type": "application/json" }));
        let body = b"{\"b\":1.5,\"a\":null}".to_vec();
        let content = Content { content_type: "application/json".into(), body };
        assert_eq!(of_view(json), Ended::With(Outcome::Completed(content)));
        let bytes = view(serde_json::json!({ "result_base64": "AQI=", "content_type": "image/png" }));
        let content = Content { content_type: "image/png".into(), body: vec![1, 2] };
        assert_eq!(of_view(bytes), Ended::With(Outcome::Completed(content)));
        let error = serde_json::json!({ "message": "no", "code": "bad", "pointer": "/a" });
        let Ended::With(Outcome::Failed(failure)) =
            of_view(view(serde_json::json!({ "status": "failed", "error": error })))
        else {
            panic!("it failed");
        };
        assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some("bad"), Some("/a")));
        assert_eq!(of_view(view(serde_json::json!({ "status": "cancelled" }))), Ended::Cancelled);
        let Ended::With(Outcome::Failed(failure)) = of_view(view(serde_json::json!({}))) else { panic!("it is gone") };
        assert_eq!(failure.code.as_deref(), Some("result-gone"));
    }
}
