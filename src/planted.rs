//! Planted bugs: a test switches one on, and the simulation must find it. Outside this library's own tests each
//! is the constant `false`, so that the service holds none.

/// Whether the named bug is switched on, in this thread.
#[cfg(not(test))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

#[cfg(test)]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_on(stringify!($bug))
    };
}

#[cfg(test)]
std::thread_local! {
    static BUG: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

/// Switches a bug on, or all off, in this thread.
#[cfg(test)]
pub fn switch(bug: Option<&'static str>) {
    BUG.set(bug);
}

/// Whether the bug is switched on in this thread.
#[cfg(test)]
pub fn is_on(bug: &str) -> bool {
    BUG.get() == Some(bug)
}
