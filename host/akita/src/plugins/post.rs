//! Small messages between plugins of one name on different nodes: a box for each plugin, and what plugins are told of the
//! mesh. Messages lie in memory alone and are lost with the process; it sends nothing itself.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::{Duration, Instant},
};

use akita_core::NodeId;
use akita_sandbox::{HostFuture, MeshError, MeshHost, MeshMessage, MeshNode, MeshPeer};
use tokio::sync::Notify;

/// Messages in one box: more than a plugin that looks now and then is sent, few enough to be read at once.
const MAX_MESSAGES: usize = 64;
/// Bytes in one box: as many of the longest messages.
const MAX_BYTES: usize = 64 << 10;
/// How long a message waits to be read: whoever reads later wants to know what is, not what was.
const KEEP: Duration = Duration::from_secs(3_600);

/// The cluster, as messages need it.
pub trait Carrier: Send + Sync + 'static {
    /// This node.
    fn me(&self) -> (NodeId, String);
    /// The others of the cluster, by id.
    fn peers(&self) -> Vec<MeshPeer>;
    /// Brings a message to the plugin on another node.
    fn tell(
        &self,
        node: NodeId,
        plugin: String,
        body: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<(), MeshError>> + Send + '_>>;
}

struct Letter {
    sender: NodeId,
    body: Vec<u8>,
    came: Instant,
}

/// All boxes of a node.
#[derive(Default)]
pub struct Post {
    boxes: Mutex<BTreeMap<String, VecDeque<Letter>>>,
    came: Notify,
    carrier: OnceLock<Weak<dyn Carrier>>,
}

impl Post {
    /// Who brings messages to other nodes. Weak, because it knows the plugins.
    pub(super) fn set_carrier(&self, carrier: Weak<dyn Carrier>) {
        let _ = self.carrier.set(carrier);
    }

    fn carrier(&self) -> Option<Arc<dyn Carrier>> {
        self.carrier.get().and_then(Weak::upgrade)
    }

    fn boxes(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<Letter>>> {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message that came at `now` into the box of a plugin. `false`: it is full.
    pub(super) fn put(&self, plugin: &str, sender: NodeId, body: Vec<u8>, now: Instant) -> bool {
        let mut boxes = self.boxes();
        boxes.values_mut().for_each(|letters| expire(letters, now));
        boxes.retain(|_, letters| !letters.is_empty());
        let letters = boxes.entry(plugin.to_owned()).or_default();
        let bytes: usize = letters.iter().map(|letter| letter.body.len()).sum();
        if letters.len() >= MAX_MESSAGES || bytes + body.len() > MAX_BYTES {
            return false;
        }
        letters.push_back(Letter { sender, body, came: now });
        drop(boxes);
        self.came.notify_waiters();
        true
    }

    fn take(&self, plugin: &str, now: Instant) -> Option<MeshMessage> {
        let mut boxes = self.boxes();
        let letters = boxes.get_mut(plugin)?;
        expire(letters, now);
        let Letter { sender, body, came } = letters.pop_front()?;
        Some(MeshMessage { sender: sender.to_string(), body, age: now.saturating_duration_since(came) })
    }
}

fn expire(letters: &mut VecDeque<Letter>, now: Instant) {
    while letters.front().is_some_and(|letter| now.saturating_duration_since(letter.came) >= KEEP) {
        letters.pop_front();
    }
}

/// The mesh of one plugin.
pub(super) struct PluginMesh {
    pub(super) post: Arc<Post>,
    pub(super) plugin: String,
}

impl MeshHost for PluginMesh {
    fn this_node(&self) -> MeshNode {
        let (id, name) = self.post.carrier().map_or_else(|| (NodeId([0; 16]), String::new()), |carrier| carrier.me());
        MeshNode { id: id.to_string(), name }
    }

    fn peers(&self) -> Vec<MeshPeer> {
        self.post.carrier().map(|carrier| carrier.peers()).unwrap_or_default()
    }

    fn send(&self, node: String, body: Vec<u8>) -> HostFuture<'_, Result<(), MeshError>> {
        Box::pin(async move {
            let carrier = self.post.carrier();
            let carrier = carrier.ok_or_else(|| MeshError::Unavailable("the node is not on the mesh now".into()))?;
            let to: NodeId = node.parse().map_err(|_| MeshError::UnknownNode)?;
            let (me, _) = carrier.me();
            if to == me {
                let put = self.post.put(&self.plugin, me, body, Instant::now());
                return if put { Ok(()) } else { Err(MeshError::Full) };
            }
            carrier.tell(to, self.plugin.clone(), body).await
        })
    }

    fn receive(&self, wait: Duration) -> HostFuture<'_, Option<MeshMessage>> {
        Box::pin(async move {
            let over = tokio::time::sleep(wait);
            tokio::pin!(over);
            loop {
                // Listened to before the box is looked into, so that no message is missed.
                let came = self.post.came.notified();
                if let Some(message) = self.post.take(&self.plugin, Instant::now()) {
                    return Some(message);
                }
                tokio::select! {
                    () = came => {}
                    () = &mut over => return None,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: NodeId = NodeId([7; 16]);

    #[test]
    fn a_box_is_bounded_and_forgets_what_nobody_reads() {
        let (post, now) = (Post::default(), Instant::now());
        let put = |plugin: &str, bytes, at| post.put(plugin, SENDER, vec![1; bytes], at);
        assert_eq!((0..100).filter(|_| put("notes", 10, now)).count(), MAX_MESSAGES);
        assert!(put("other", 10, now), "each plugin has its own");
        assert_eq!((0..100).filter(|_| put("large", 1_500, now)).count(), MAX_BYTES / 1_500);
        let later = now + KEEP / 2;
        let message = post.take("notes", later).unwrap();
        assert_eq!((message.sender, message.age), (SENDER.to_string(), KEEP / 2));
        assert!(put("notes", 3, later) && !put("notes", 3, later));
        let message = post.take("notes", now + KEEP).unwrap();
        assert_eq!(message.body.len(), 3, "the others are too old");
        assert_eq!(post.take("notes", now + KEEP), None);
        assert!(put("notes", 1, now + 2 * KEEP));
        assert_eq!(post.boxes().len(), 1, "nothing is kept of the others");
    }

    #[tokio::test]
    async fn who_waits_gets_the_message_that_comes() {
        let post = Arc::new(Post::default());
        let mesh = PluginMesh { post: Arc::clone(&post), plugin: "notes".into() };
        assert_eq!(mesh.receive(Duration::ZERO).await, None);
        let waiting = tokio::spawn(async move { mesh.receive(Duration::from_secs(60)).await });
        tokio::task::yield_now().await;
        assert!(post.put("other", SENDER, b"not for it".to_vec(), Instant::now()));
        assert!(post.put("notes", SENDER, b"dinner".to_vec(), Instant::now()));
        assert_eq!(waiting.await.unwrap().unwrap().body, b"dinner");
    }
}
