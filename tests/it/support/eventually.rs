//! Waiting for a state, without a guess of how long it takes.

use std::fmt::{Debug, Display};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Long enough for a machine that is busy with other tests. Only a test that fails waits for it.
const DEADLINE: Duration = Duration::from_secs(180);

const PAUSE: Duration = Duration::from_millis(5);

/// What one look found: the expected state, or what is there instead.
pub trait Look {
    type Found;

    fn found(self) -> Result<Self::Found, String>;
}

impl Look for bool {
    type Found = ();

    fn found(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

impl<T> Look for Option<T> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.ok_or_else(|| "none".to_owned())
    }
}

impl<T, E: Debug> Look for Result<T, E> {
    type Found = T;

    fn found(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// `Ok` if both are equal, else both: for the message of [`eventually`].
pub fn equal<T: PartialEq<U>, U>(actual: T, expected: U) -> Result<(), (T, U)> {
    if actual == expected { Ok(()) } else { Err((actual, expected)) }
}

/// Looks again and again until the state is there. Panics after [`DEADLINE`], with the state it
/// waited for and what it saw last.
pub async fn eventually<L: Look>(what: impl Display, look: impl AsyncFnMut() -> L) -> L::Found {
    within(DEADLINE, what, look).await
}

/// The same for a promise that has a bound: after it, something else may bring the state about.
pub async fn within<L: Look>(
    bound: Duration,
    what: impl Display,
    mut look: impl AsyncFnMut() -> L,
) -> L::Found {
    let deadline = Instant::now() + bound;
    let mut last = "nothing, because the first look did not end".to_owned();
    loop {
        match timeout_at(deadline, look()).await.map(Look::found) {
            Ok(Ok(found)) => return found,
            Ok(Err(_)) | Err(_) if Instant::now() >= deadline => {
                panic!("waited {bound:?} for: {what}; last seen: {last}")
            }
            Ok(Err(seen)) => last = seen,
            Err(_) => {}
        }
        sleep(PAUSE).await;
    }
}
