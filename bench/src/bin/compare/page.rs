//! Pages of the documentation with a part that is written here, between two marks.

use std::path::Path;

/// Puts a text between `<!-- NAME -->` and `<!-- /NAME -->`.
///
/// # Errors
///
/// If the page cannot be read or written, or has no such marks.
pub(crate) fn write(page: &Path, name: &str, text: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", page.display());
    let whole = std::fs::read_to_string(page).map_err(failed)?;
    let whole =
        replaced(&whole, name, text).ok_or_else(|| format!("{} has no marks of {name}", page.display()))?;
    std::fs::write(page, whole).map_err(failed)
}

fn replaced(page: &str, name: &str, text: &str) -> Option<String> {
    let (first, last) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&first)?;
    let (_, after) = rest.split_once(&last)?;
    Some(format!("{before}{first}\n{}\n{last}{after}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let page = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n";
        let new = replaced(page, "t", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n");
        assert_eq!(replaced(&new, "t", "new").unwrap(), new);
        assert_eq!(replaced(page, "u", "new"), None);
    }
}
