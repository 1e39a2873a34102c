//! The walk of one message through the house: which functions it passes, for the golden trace and for people who want to see it.
//!
//! A machine notes a step by [`step!`](crate::step) at the start of a function that is a landmark; the name is taken from the
//! function itself, so it cannot lie. Without a listener a step costs one test.

use std::fmt;
use std::sync::Arc;

/// Who listens.
pub type Listener = Arc<dyn Fn(String) + Send + Sync>;

/// A machine's handle on whoever listens to its steps; by default nobody.
#[derive(Clone, Default)]
pub struct Walk(Option<Listener>);

impl Walk {
    /// Every step is told to `listener`.
    pub fn told_to(listener: Listener) -> Walk {
        Walk(Some(listener))
    }

    /// Notes a step; `marker` is the name of a function inside of the landmark. Use [`step!`](crate::step).
    #[inline]
    pub fn note(&self, marker: &'static str) {
        if let Some(listener) = &self.0 {
            tell(listener, marker);
        }
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Walk(told)"
        } else {
            "Walk"
        })
    }
}

#[cold]
fn tell(listener: &Listener, marker: &str) {
    listener(landmark(marker));
}

/// `a::b::<impl a::T>::f::here`, `<a::b::T as c::U>::f::here` and `a::b::T::f::here` become `a::b::T::f`.
fn landmark(marker: &str) -> String {
    let path = marker.strip_suffix("::here").unwrap_or(marker);
    if let Some((owner, rest)) = path
        .strip_prefix('<')
        .and_then(|path| path.split_once(" as "))
        && let Some((_, after)) = rest.split_once(">::")
    {
        return format!("{owner}::{after}");
    }
    let Some((before, rest)) = path.split_once("<impl ") else {
        return path.to_string();
    };
    let Some((owner, after)) = rest.split_once('>') else {
        return path.to_string();
    };
    let owner = owner.split('<').next().unwrap_or(owner);
    let owner = owner.rsplit("::").next().unwrap_or(owner);
    format!("{before}{owner}{after}")
}

/// Notes that the enclosing function was reached.
#[macro_export]
macro_rules! step {
    ($walk:expr) => {{
        fn here() {}
        fn name_of<T>(_: T) -> &'static str {
            ::std::any::type_name::<T>()
        }
        $walk.note(name_of(here))
    }};
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Machine {
        walk: Walk,
    }

    impl Machine {
        fn passed(&self) {
            step!(self.walk);
        }
    }

    #[test]
    fn a_step_is_named_after_its_function() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        let listener: Listener = Arc::new(move |name| ears.lock().expect("free").push(name));
        let machine = Machine {
            walk: Walk::told_to(listener),
        };
        machine.passed();
        assert_eq!(
            *heard.lock().expect("free"),
            ["flip_net::walk::tests::Machine::passed"]
        );
        Machine {
            walk: Walk::default(),
        }
        .passed();
        assert_eq!(heard.lock().expect("free").len(), 1);
    }

    #[test]
    fn the_owner_of_a_method_is_told_by_its_short_name() {
        assert_eq!(
            landmark("group::member::send::<impl group::member::Member>::send::here"),
            "group::member::send::Member::send"
        );
        assert_eq!(
            landmark("<flip_net::flip_box::FlipBox as flip_net::Machine>::handle_frame::here"),
            "flip_net::flip_box::FlipBox::handle_frame"
        );
    }
}
