//! What a panic leaves in the log of the server, to whose stderr this process writes: one line, as all others there.

use std::panic::Location;

/// Has every panic from here on write where it happened. Its words are left out: they may quote anything.
pub fn write_as_lines() {
    std::panic::set_hook(Box::new(|panic| {
        if let Some(at) = panic.location() {
            eprintln!("{}", line_of(at));
        }
    }));
}

fn line_of(at: &Location<'_>) -> String {
    let (file, line) = (at.file().rsplit('/').next().unwrap_or_default(), at.line());
    format!(r#"{{"level": "error", "event": "panic", "component": "media", "at": ["{file}:{line}"]}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line_that_says_where() {
        let line = line_of(Location::caller());
        assert!(line.starts_with(r#"{"level": "error", "event": "panic", "component": "media", "at": ["panics.rs:"#));
        assert!(line.ends_with(r#""]}"#) && !line.contains('\n'));
    }
}
