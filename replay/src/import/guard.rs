//! Keeps a format's library from ending the program.
//!
//! The libraries of the field's formats panic on some damaged files. [`caught`] turns that into
//! an ordinary error. It cannot where panics abort (profile `dist`), and the panic's own message
//! still goes to standard error; a file that is whole never gets here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs one step of a library; if it panics, the error is what `panicked` makes of a reason.
pub(super) fn caught<T, E>(
    step: impl FnOnce() -> Result<T, E>,
    panicked: fn(String) -> E,
) -> Result<T, E> {
    // What the step may leave half done is used no more: an error ends the import.
    catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|_| Err(panicked("content that its library did not expect".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_results_pass_through() {
        assert_eq!(caught(|| Ok(1), |reason| reason), Ok(1));
        assert_eq!(caught(|| Err::<i32, String>("no".into()), |reason| reason), Err("no".into()));
        let empty: Vec<i32> = Vec::new();
        assert!(caught(|| Ok(empty[0]), |reason| reason).is_err());
    }
}
