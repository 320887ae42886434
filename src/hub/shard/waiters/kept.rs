//! The box in which a waiter is kept. In tests it counts how often a waiter is looked at, so that
//! a test can hold that a decision looks at none.

/// Boxed because the nodes of a `BTreeMap` are half empty.
#[cfg(not(test))]
pub(super) type Kept<T> = Box<T>;

#[cfg(test)]
pub(super) use counting::Kept;
#[cfg(test)]
pub(in crate::hub::shard) use counting::looks;

#[cfg(test)]
mod counting {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};

    thread_local! {
        static LOOKS: Cell<u64> = const { Cell::new(0) };
    }

    /// How often this thread has looked at what is kept.
    pub(crate) fn looks() -> u64 {
        LOOKS.get()
    }

    #[derive(Debug)]
    pub(crate) struct Kept<T>(Box<T>);

    impl<T> Kept<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Box::new(value))
        }
    }

    impl<T> Deref for Kept<T> {
        type Target = T;

        fn deref(&self) -> &T {
            LOOKS.set(LOOKS.get() + 1);
            &self.0
        }
    }

    impl<T> DerefMut for Kept<T> {
        fn deref_mut(&mut self) -> &mut T {
            LOOKS.set(LOOKS.get() + 1);
            &mut self.0
        }
    }
}
