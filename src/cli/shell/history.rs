//! What was typed, kept from session to session. Statements with passwords are not kept.
#![expect(clippy::disallowed_methods, reason = "a file of the user's, not of the database")]

use std::path::PathBuf;

use reedline::{
    FileBackedHistory, History, HistoryItem, HistoryItemId, HistorySessionId, Result,
    SearchDirection, SearchQuery,
};

/// Statements that are kept.
pub(super) const STATEMENTS_MAX: usize = 10_000;

/// Where statements are kept: `helenus/history` in the directory of XDG for state.
pub(super) fn path() -> Option<PathBuf> {
    let named =
        |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = named("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let state = state.or_else(|| named("HOME").map(|home| home.join(".local").join("state")))?;
    Some(state.join("helenus").join("history"))
}

/// The history; without a file if there can be none.
pub(super) fn open() -> Option<Safe> {
    let path = path()?;
    std::fs::create_dir_all(path.parent()?).ok()?;
    let file = FileBackedHistory::with_file(STATEMENTS_MAX, path.clone()).ok()?;
    restrict(&path);
    Some(Safe(file))
}

/// Statements may hold what is nobody else's business.
fn restrict(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    // A file system without permissions is no reason to have no history.
    drop(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)));
}

/// The last `count` statements, numbered.
pub(super) fn shown(count: usize) -> String {
    let Some(history) = open() else { return "There is no history.\n".to_owned() };
    let query = SearchQuery::everything(SearchDirection::Backward, None);
    let mut items = history.0.search(query).unwrap_or_default();
    let total = items.len();
    items.truncate(count);
    items.reverse();
    let first = total - items.len() + 1;
    let line = |(index, item): (usize, &HistoryItem)| {
        format!("{:5}  {}\n", first + index, item.command_line)
    };
    items.iter().enumerate().map(line).collect()
}

fn is_secret(statement: &str) -> bool {
    let upper = statement.to_ascii_uppercase();
    upper.contains("PASSWORD") || upper.trim_start().starts_with("LOGIN")
}

/// A history that forgets secrets at once.
#[derive(Debug)]
pub(super) struct Safe(FileBackedHistory);

impl History for Safe {
    fn save(&mut self, item: HistoryItem) -> Result<HistoryItem> {
        if is_secret(&item.command_line) { Ok(item) } else { self.0.save(item) }
    }

    fn load(&self, id: HistoryItemId) -> Result<HistoryItem> {
        self.0.load(id)
    }

    fn count(&self, query: SearchQuery) -> Result<i64> {
        self.0.count(query)
    }

    fn search(&self, query: SearchQuery) -> Result<Vec<HistoryItem>> {
        self.0.search(query)
    }

    fn update(
        &mut self,
        id: HistoryItemId,
        updater: &dyn Fn(HistoryItem) -> HistoryItem,
    ) -> Result<()> {
        self.0.update(id, updater)
    }

    fn clear(&mut self) -> Result<()> {
        self.0.clear()
    }

    fn delete(&mut self, id: HistoryItemId) -> Result<()> {
        self.0.delete(id)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        self.0.sync()
    }

    fn session(&self) -> Option<HistorySessionId> {
        self.0.session()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_kept() {
        assert!(is_secret("CREATE ROLE a WITH password = 'x'"));
        assert!(is_secret(" login bob secret"));
        assert!(!is_secret("SELECT * FROM logins"));
    }
}
