//! What holds for a whole session, and the ways to begin one.

use crate::error::Result;
use crate::options::{Options, option_methods};
use crate::session::Session;

/// What holds for a whole session; a statement may say otherwise for itself.
///
/// ```
/// # helenus_driver::wait(async {
/// use helenus_driver::{Consistency, Session};
/// use std::time::Duration;
///
/// let session = Session::builder()
///     .consistency(Consistency::One)
///     .timeout(Duration::from_secs(5))
///     .keyspace("system")
///     .memory()
///     .await?;
/// session.query("SELECT host_id FROM local", ()).await?;
/// # helenus_driver::Result::Ok(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct SessionBuilder {
    pub(crate) options: Options,
    pub(crate) keyspace: Option<String>,
    #[cfg(feature = "embedded")]
    config: helenus::config::Config,
    #[cfg(feature = "cluster")]
    pub(crate) user: Option<(String, String)>,
    #[cfg(feature = "cluster")]
    pub(crate) datacenter: Option<String>,
}

impl SessionBuilder {
    /// The keyspace of names without one, as `USE` chooses it; it must exist.
    #[must_use]
    pub fn keyspace(mut self, name: impl Into<String>) -> Self {
        self.keyspace = Some(name.into());
        self
    }

    option_methods!(options);

    async fn settle(self, session: Session) -> Result<Session> {
        if let Some(keyspace) = &self.keyspace {
            session.use_keyspace(keyspace).await?;
        }
        Ok(session)
    }
}

#[cfg(feature = "embedded")]
impl SessionBuilder {
    /// How the node inside this process is configured: memory, durability and the like. What
    /// concerns the network has no meaning there.
    #[must_use]
    pub fn config(mut self, config: helenus::config::Config) -> Self {
        self.config = config;
        self
    }

    /// Opens the data directory `dir`: [`Session::open`].
    ///
    /// # Errors
    /// As [`Session::open`], and if there is no such keyspace.
    pub async fn open(self, dir: impl AsRef<std::path::Path>) -> Result<Session> {
        let data_dir = dir.as_ref().to_path_buf();
        let config = helenus::config::Config { data_dir, ..self.config.clone() };
        let embedded = crate::embedded::open(config).await?;
        let session = Session::embedded(embedded, self.options);
        self.settle(session).await
    }

    /// Opens a database in memory: [`Session::memory`].
    ///
    /// # Errors
    /// As [`Session::memory`], and if there is no such keyspace.
    pub async fn memory(self) -> Result<Session> {
        let session = Session::embedded(crate::embedded::open_memory()?, self.options);
        self.settle(session).await
    }
}

#[cfg(feature = "cluster")]
impl SessionBuilder {
    /// Who asks, where the cluster wants to know.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// The data centre whose nodes are asked; all if nobody says.
    #[must_use]
    pub fn datacenter(mut self, name: impl Into<String>) -> Self {
        self.datacenter = Some(name.into());
        self
    }

    /// Connects to a cluster: [`Session::connect`].
    ///
    /// # Errors
    /// As [`Session::connect`], and if there is no such keyspace.
    pub async fn connect<A: AsRef<str>>(
        self,
        nodes: impl IntoIterator<Item = A>,
    ) -> Result<Session> {
        let nodes: Vec<String> = nodes.into_iter().map(|node| node.as_ref().to_owned()).collect();
        let cluster = crate::cluster::Cluster::connect(&self, &nodes).await?;
        let session = Session::cluster(cluster, self.options);
        self.settle(session).await
    }
}
