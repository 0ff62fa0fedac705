//! The interfaces that a plugin has only where the operator grants them, and sets of these. It decides nothing about who
//! gets what.

use std::fmt;

use crate::bindings::PACKAGE;

/// WASI's interfaces that are granted as `http`.
const HTTP: [&str; 2] = ["wasi:http/outgoing-handler", "wasi:http/types"];

/// An interface that is granted or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// `akita:plugin/blobs`: content-addressed bytes.
    Blobs,
    /// `wasi:http`: requests to hosts that the operator names.
    Http,
    /// `akita:plugin/kv`: small durable values.
    Kv,
    /// `akita:plugin/mesh`: other nodes, and messages to the plugin there.
    Mesh,
    /// `akita:plugin/sensors`: what the machine measures.
    Sensors,
    /// `akita:plugin/tasks`: child tasks.
    Tasks,
}

impl Interface {
    /// Every interface, in the order of their names.
    pub const ALL: [Interface; 6] =
        [Interface::Blobs, Interface::Http, Interface::Kv, Interface::Mesh, Interface::Sensors, Interface::Tasks];

    /// Its name, as in a file of grants.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Interface::Blobs => "blobs",
            Interface::Http => "http",
            Interface::Kv => "kv",
            Interface::Mesh => "mesh",
            Interface::Sensors => "sensors",
            Interface::Tasks => "tasks",
        }
    }

    /// The interface of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Interface> {
        Interface::ALL.into_iter().find(|one| one.as_str() == name)
    }

    /// The interface that a component names so, without its version: `akita:plugin/kv`.
    pub(crate) fn of_import(path: &str) -> Option<Interface> {
        if HTTP.contains(&path) {
            return Some(Interface::Http);
        }
        let name = path.strip_prefix(PACKAGE)?.strip_prefix('/')?;
        Interface::parse(name).filter(|one| *one != Interface::Http)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of interfaces.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Grants(u8);

impl Grants {
    /// Nothing beyond what every plugin gets.
    pub const NONE: Grants = Grants(0);

    /// Whether it is in the set.
    #[must_use]
    pub fn has(self, one: Interface) -> bool {
        self.0 & one.bit() != 0
    }

    /// The set with one more.
    #[must_use]
    pub fn with(self, one: Interface) -> Grants {
        Grants(self.0 | one.bit())
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Grants) -> Grants {
        Grants(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub fn or(self, other: Grants) -> Grants {
        Grants(self.0 | other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn without(self, other: Grants) -> Grants {
        Grants(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in it, in the order of the names.
    pub fn iter(self) -> impl Iterator<Item = Interface> {
        Interface::ALL.into_iter().filter(move |one| self.has(*one))
    }
}

impl FromIterator<Interface> for Grants {
    fn from_iter<I: IntoIterator<Item = Interface>>(all: I) -> Grants {
        all.into_iter().fold(Grants::NONE, Grants::with)
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Interface::as_str).collect();
        f.write_str(&names.join(", "))
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grants({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let all: Grants = Interface::ALL.into_iter().collect();
        assert_eq!(all.to_string(), "blobs, http, kv, mesh, sensors, tasks");
        let kv = Grants::NONE.with(Interface::Kv);
        assert_eq!(all.without(kv).to_string(), "blobs, http, mesh, sensors, tasks");
        assert_eq!(kv.and(all), kv);
        assert_eq!(kv.or(all), all);
        assert!(kv.has(Interface::Kv) && !kv.has(Interface::Sensors) && Grants::NONE.is_empty());
    }

    #[test]
    fn an_import_is_known_by_its_path() {
        for one in Interface::ALL {
            assert_eq!(Interface::parse(one.as_str()), Some(one));
            let path = match one {
                Interface::Http => "wasi:http/outgoing-handler".to_owned(),
                one => format!("akita:plugin/{}", one.as_str()),
            };
            assert_eq!(Interface::of_import(&path), Some(one));
        }
        assert_eq!(Interface::of_import("akita:plugin/http"), None, "it is WASI's");
        assert_eq!(Interface::of_import("wasi:http/incoming-handler"), None);
        assert_eq!(Interface::of_import("other:plugin/kv"), None);
    }
}
