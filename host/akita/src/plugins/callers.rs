//! Who may call which action: the lists `callers` of a file of grants, and who a task says that its submitter is. It
//! reads no file and refuses nothing by itself.

use std::{collections::BTreeMap, fmt};

use akita_core::{KeyPrint, NodeId};

/// What stands before a node's id.
const NODE: &str = "node:";
/// Callers in one list at most: each is compared with each task's.
pub const MAX_CALLERS: usize = 256;

/// Who submitted a task. A child's caller is its parent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The node that took it from its submitter.
    pub node: NodeId,
    /// The API key that it came with.
    pub key: Option<KeyPrint>,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "{key} on {NODE}{}", self.node),
            None => write!(f, "{NODE}{} without a key", self.node),
        }
    }
}

/// One item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever has that API key, on any node that knows it.
    Key(KeyPrint),
    /// Whoever submits to that node, with any key or none.
    Node(NodeId),
}

impl Who {
    /// `key:` and 16 hexadecimal digits, or `node:` and 32.
    pub fn parse(text: &str) -> Option<Who> {
        match text.strip_prefix(NODE) {
            Some(id) if id.len() == 32 => id.parse().ok().map(Who::Node),
            Some(_) => None,
            None => text.parse().ok().map(Who::Key),
        }
    }

    fn is(self, caller: &Caller) -> bool {
        match self {
            Who::Key(key) => caller.key == Some(key),
            Who::Node(node) => caller.node == node,
        }
    }
}

/// Who may call a plugin's actions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Callers {
    /// Of every action that has no list of its own. None: everybody of the cluster.
    pub all: Option<Vec<Who>>,
    /// Of one action.
    pub actions: BTreeMap<String, Vec<Who>>,
}

impl Callers {
    /// Whether that caller may call that action.
    pub fn permit(&self, action: &str, caller: &Caller) -> bool {
        let list = self.actions.get(action).or(self.all.as_ref());
        list.is_none_or(|list| list.iter().any(|who| who.is(caller)))
    }

    /// These, completed by what only the other says.
    #[must_use]
    pub fn or(mut self, other: &Callers) -> Callers {
        self.all = self.all.or_else(|| other.all.clone());
        for (action, list) in &other.actions {
            self.actions.entry(action.clone()).or_insert_with(|| list.clone());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId([1; 16]);

    #[test]
    fn a_list_names_keys_and_nodes_and_an_actions_own_list_is_the_one_that_counts() {
        let key = KeyPrint([2; 8]);
        let callers = Callers {
            all: Some(vec![Who::Key(key)]),
            actions: BTreeMap::from([("open".into(), vec![Who::Node(ME)]), ("shut".into(), vec![])]),
        };
        let (with_key, without) = (Caller { node: ME, key: Some(key) }, Caller { node: ME, key: None });
        let stranger = Caller { node: NodeId([3; 16]), key: Some(KeyPrint([4; 8])) };
        assert!(callers.permit("fit", &with_key) && !callers.permit("fit", &without));
        assert!(callers.permit("open", &without) && !callers.permit("open", &stranger));
        assert!(!callers.permit("shut", &with_key), "an empty list is nobody");
        assert!(Callers::default().permit("fit", &stranger), "no list is everybody");
    }

    #[test]
    fn what_is_more_specific_wins_by_action() {
        let specific = Callers { all: None, actions: BTreeMap::from([("a".into(), vec![])]) };
        let other = Callers { all: Some(vec![]), actions: BTreeMap::from([("a".into(), vec![Who::Node(ME)])]) };
        let both = specific.or(&other);
        assert_eq!((both.all, both.actions["a"].len()), (Some(vec![]), 0));
    }

    #[test]
    fn a_caller_is_written_in_one_way() {
        assert_eq!(Who::parse("key:0202020202020202"), Some(Who::Key(KeyPrint([2; 8]))));
        assert_eq!(Who::parse(&format!("node:{ME}")), Some(Who::Node(ME)));
        for bad in ["", "key:", "node:", "node:0101", "0202020202020202", "user:ann", &format!("node:{ME}0")] {
            assert_eq!(Who::parse(bad), None, "{bad}");
        }
    }
}
