//! Keywords: which words they are, and where each may still be a name.

use crate::ast::NativeType;

/// How a keyword may be used as an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeywordClass {
    /// Never, unless quoted.
    Reserved,
    /// Wherever a name can stand.
    Unreserved,
    /// As the name of a column, keyspace or table, but not of a function or type.
    ColumnOnly,
    /// It names a native type: not the name of a user-defined type, otherwise any name.
    Type(NativeType),
}

macro_rules! keywords {
    ($($variant:ident $word:literal $token:literal $class:expr;)*) => {
        /// The words that mean something in the grammar, in any case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Keyword { $(#[doc = concat!("`", $word, "`")] $variant,)* }

        impl Keyword {
            /// Every keyword, in the order of their words.
            pub const ALL: &'static [Keyword] = &[$(Keyword::$variant),*];

            /// The word, in lower case.
            pub const fn word(self) -> &'static str {
                match self { $(Keyword::$variant => $word,)* }
            }

            /// Its name in error messages.
            pub fn token_name(self) -> &'static str {
                match self { $(Keyword::$variant => $token,)* }
            }

            /// Where it may be a name.
            pub fn class(self) -> KeywordClass {
                use KeywordClass::{ColumnOnly, Reserved, Type, Unreserved};
                match self { $(Keyword::$variant => $class,)* }
            }
        }
    };
}

/// The longest keyword, in bytes.
const KEYWORD_LENGTH_MAX: usize = 14;

/// How many places the hash table has; about three times the number of keywords.
const TABLE_SIZE: usize = 512;

/// Keywords by the hash of their words; one whose place is taken is in the next free one.
static TABLE: [Option<Keyword>; TABLE_SIZE] = table();

/// The place of a word in the table; its case does not matter.
const fn place(mut word: &[u8]) -> usize {
    let mut hash: u32 = 0x811C_9DC5;
    while let [first, rest @ ..] = word {
        hash = (hash ^ first.to_ascii_lowercase() as u32).wrapping_mul(0x0100_0193);
        word = rest;
    }
    (hash ^ (hash >> 15)) as usize % TABLE_SIZE
}

#[expect(clippy::indexing_slicing, reason = "it runs in the compiler, and get_mut cannot")]
const fn table() -> [Option<Keyword>; TABLE_SIZE] {
    let mut table = [None; TABLE_SIZE];
    let mut index = 0;
    while index < Keyword::ALL.len() {
        let keyword = Keyword::ALL[index];
        let mut free = place(keyword.word().as_bytes());
        while table[free].is_some() {
            free = (free + 1) % TABLE_SIZE;
        }
        table[free] = Some(keyword);
        index += 1;
    }
    table
}

impl Keyword {
    /// The keyword that `word` is, in any case.
    pub fn lookup(word: &[u8]) -> Option<Keyword> {
        if word.len() > KEYWORD_LENGTH_MAX {
            return None;
        }
        let (before, after) = TABLE.split_at_checked(place(word))?;
        let places = after.iter().chain(before);
        places
            .map_while(|place| *place)
            .find(|keyword| keyword.word().as_bytes().eq_ignore_ascii_case(word))
    }
}

keywords! {
    Access "access" "K_ACCESS" Unreserved;
    Add "add" "K_ADD" Reserved;
    Aggregate "aggregate" "K_AGGREGATE" Unreserved;
    Aggregates "aggregates" "K_AGGREGATES" Unreserved;
    All "all" "K_ALL" Unreserved;
    Allow "allow" "K_ALLOW" Reserved;
    Alter "alter" "K_ALTER" Reserved;
    And "and" "K_AND" Reserved;
    Ann "ann" "K_ANN" Unreserved;
    Apply "apply" "K_APPLY" Reserved;
    As "as" "K_AS" Unreserved;
    Asc "asc" "K_ASC" Reserved;
    Ascii "ascii" "K_ASCII" Type(NativeType::Ascii);
    Authorize "authorize" "K_AUTHORIZE" Reserved;
    Batch "batch" "K_BATCH" Reserved;
    Begin "begin" "K_BEGIN" Reserved;
    Between "between" "K_BETWEEN" Unreserved;
    Bigint "bigint" "K_BIGINT" Type(NativeType::Bigint);
    Blob "blob" "K_BLOB" Type(NativeType::Blob);
    Boolean "boolean" "K_BOOLEAN" Type(NativeType::Boolean);
    By "by" "K_BY" Reserved;
    Called "called" "K_CALLED" Unreserved;
    Cast "cast" "K_CAST" ColumnOnly;
    Cidrs "cidrs" "K_CIDRS" Unreserved;
    Cluster "cluster" "K_CLUSTER" Unreserved;
    Clustering "clustering" "K_CLUSTERING" Unreserved;
    ColumnFamilies "columnfamilies" "K_TABLES" Unreserved;
    ColumnFamily "columnfamily" "K_COLUMNFAMILY" Reserved;
    Compact "compact" "K_COMPACT" Unreserved;
    Contains "contains" "K_CONTAINS" Unreserved;
    Count "count" "K_COUNT" ColumnOnly;
    Counter "counter" "K_COUNTER" Type(NativeType::Counter);
    Create "create" "K_CREATE" Reserved;
    Custom "custom" "K_CUSTOM" Unreserved;
    Datacenters "datacenters" "K_DATACENTERS" Unreserved;
    Date "date" "K_DATE" Type(NativeType::Date);
    Decimal "decimal" "K_DECIMAL" Type(NativeType::Decimal);
    Default "default" "K_DEFAULT" Unreserved;
    Delete "delete" "K_DELETE" Reserved;
    Desc "desc" "K_DESC" Reserved;
    Describe "describe" "K_DESCRIBE" Reserved;
    Distinct "distinct" "K_DISTINCT" ColumnOnly;
    Double "double" "K_DOUBLE" Type(NativeType::Double);
    Drop "drop" "K_DROP" Reserved;
    Duration "duration" "K_DURATION" Type(NativeType::Duration);
    Entries "entries" "K_ENTRIES" Reserved;
    Execute "execute" "K_EXECUTE" Reserved;
    Exists "exists" "K_EXISTS" Unreserved;
    Filtering "filtering" "K_FILTERING" Unreserved;
    FinalFunc "finalfunc" "K_FINALFUNC" Unreserved;
    Float "float" "K_FLOAT" Type(NativeType::Float);
    From "from" "K_FROM" Reserved;
    Frozen "frozen" "K_FROZEN" Unreserved;
    Full "full" "K_FULL" Reserved;
    Function "function" "K_FUNCTION" Unreserved;
    Functions "functions" "K_FUNCTIONS" Unreserved;
    Grant "grant" "K_GRANT" Reserved;
    Group "group" "K_GROUP" Unreserved;
    Hashed "hashed" "K_HASHED" Unreserved;
    Identity "identity" "K_IDENTITY" Unreserved;
    If "if" "K_IF" Reserved;
    In "in" "K_IN" Reserved;
    Index "index" "K_INDEX" Reserved;
    Inet "inet" "K_INET" Type(NativeType::Inet);
    Infinity "infinity" "K_POSITIVE_INFINITY" Reserved;
    InitCond "initcond" "K_INITCOND" Unreserved;
    Input "input" "K_INPUT" Unreserved;
    Insert "insert" "K_INSERT" Reserved;
    Int "int" "K_INT" Type(NativeType::Int);
    Internals "internals" "K_INTERNALS" Unreserved;
    Into "into" "K_INTO" Reserved;
    Is "is" "K_IS" Reserved;
    Json "json" "K_JSON" ColumnOnly;
    Key "key" "K_KEY" ColumnOnly;
    Keys "keys" "K_KEYS" Unreserved;
    Keyspace "keyspace" "K_KEYSPACE" Reserved;
    Keyspaces "keyspaces" "K_KEYSPACES" Unreserved;
    Language "language" "K_LANGUAGE" Unreserved;
    Like "like" "K_LIKE" Unreserved;
    Limit "limit" "K_LIMIT" Reserved;
    List "list" "K_LIST" Unreserved;
    Login "login" "K_LOGIN" Unreserved;
    Map "map" "K_MAP" Unreserved;
    Masked "masked" "K_MASKED" Unreserved;
    Materialized "materialized" "K_MATERIALIZED" Reserved;
    MaxWriteTime "maxwritetime" "K_MAXWRITETIME" ColumnOnly;
    Mbean "mbean" "K_MBEAN" Unreserved;
    Mbeans "mbeans" "K_MBEANS" Unreserved;
    Modify "modify" "K_MODIFY" Reserved;
    Nan "nan" "K_POSITIVE_NAN" Reserved;
    NoLogin "nologin" "K_NOLOGIN" Unreserved;
    NoRecursive "norecursive" "K_NORECURSIVE" Reserved;
    NoSuperuser "nosuperuser" "K_NOSUPERUSER" Unreserved;
    Not "not" "K_NOT" Reserved;
    Null "null" "K_NULL" Reserved;
    Of "of" "K_OF" Reserved;
    On "on" "K_ON" Reserved;
    Only "only" "K_ONLY" Unreserved;
    Options "options" "K_OPTIONS" Unreserved;
    Or "or" "K_OR" Reserved;
    Order "order" "K_ORDER" Reserved;
    Partition "partition" "K_PARTITION" Unreserved;
    Password "password" "K_PASSWORD" Unreserved;
    Per "per" "K_PER" Unreserved;
    Permission "permission" "K_PERMISSION" Unreserved;
    Permissions "permissions" "K_PERMISSIONS" Unreserved;
    Primary "primary" "K_PRIMARY" Reserved;
    Rename "rename" "K_RENAME" Reserved;
    Replace "replace" "K_REPLACE" Unreserved;
    Returns "returns" "K_RETURNS" Unreserved;
    Revoke "revoke" "K_REVOKE" Reserved;
    Role "role" "K_ROLE" Unreserved;
    Roles "roles" "K_ROLES" Unreserved;
    Schema "schema" "K_SCHEMA" Reserved;
    Select "select" "K_SELECT" Reserved;
    SelectMasked "select_masked" "K_SELECT_MASKED" Unreserved;
    Set "set" "K_SET" Reserved;
    Sfunc "sfunc" "K_SFUNC" Unreserved;
    Smallint "smallint" "K_SMALLINT" Type(NativeType::Smallint);
    Static "static" "K_STATIC" Unreserved;
    Storage "storage" "K_STORAGE" Unreserved;
    Stype "stype" "K_STYPE" Unreserved;
    Superuser "superuser" "K_SUPERUSER" Unreserved;
    Superusers "superusers" "K_SUPERUSERS" Unreserved;
    Table "table" "K_COLUMNFAMILY" Reserved;
    Tables "tables" "K_TABLES" Unreserved;
    Text "text" "K_TEXT" Type(NativeType::Text);
    Time "time" "K_TIME" Type(NativeType::Time);
    Timestamp "timestamp" "K_TIMESTAMP" Type(NativeType::Timestamp);
    Timeuuid "timeuuid" "K_TIMEUUID" Type(NativeType::Timeuuid);
    Tinyint "tinyint" "K_TINYINT" Type(NativeType::Tinyint);
    To "to" "K_TO" Reserved;
    Token "token" "K_TOKEN" Reserved;
    Trigger "trigger" "K_TRIGGER" Unreserved;
    Truncate "truncate" "K_TRUNCATE" Reserved;
    Ttl "ttl" "K_TTL" ColumnOnly;
    Tuple "tuple" "K_TUPLE" Unreserved;
    Type "type" "K_TYPE" Unreserved;
    Types "types" "K_TYPES" Unreserved;
    Unlogged "unlogged" "K_UNLOGGED" Reserved;
    Unmask "unmask" "K_UNMASK" Unreserved;
    Unset "unset" "K_UNSET" Unreserved;
    Update "update" "K_UPDATE" Reserved;
    Use "use" "K_USE" Reserved;
    User "user" "K_USER" Unreserved;
    Users "users" "K_USERS" Unreserved;
    Using "using" "K_USING" Reserved;
    Uuid "uuid" "K_UUID" Type(NativeType::Uuid);
    Values "values" "K_VALUES" Unreserved;
    Varchar "varchar" "K_VARCHAR" Type(NativeType::Varchar);
    Varint "varint" "K_VARINT" Type(NativeType::Varint);
    Vector "vector" "K_VECTOR" Unreserved;
    View "view" "K_VIEW" Reserved;
    Where "where" "K_WHERE" Reserved;
    With "with" "K_WITH" Reserved;
    WriteTime "writetime" "K_WRITETIME" ColumnOnly;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_keyword_is_longer_than_the_longest() {
        let longest = Keyword::ALL.iter().map(|keyword| keyword.word().len()).max();
        assert_eq!(longest, Some(KEYWORD_LENGTH_MAX));
    }

    #[test]
    fn every_keyword_is_found_in_any_case() {
        for keyword in Keyword::ALL {
            assert_eq!(Keyword::lookup(keyword.word().as_bytes()), Some(*keyword));
            assert_eq!(Keyword::lookup(keyword.word().to_uppercase().as_bytes()), Some(*keyword));
        }
        assert_eq!(Keyword::lookup(b"selec"), None);
        assert_eq!(Keyword::lookup(b"a_word_longer_than_any_keyword"), None);
    }
}
