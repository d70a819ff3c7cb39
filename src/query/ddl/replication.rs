//! The `replication` option of a keyspace.

use std::collections::BTreeMap;

use crate::cluster::ring::{PACKAGE, StrategyError, replication_factor};
use crate::error::{Error, Result};
use crate::query::guardrails::definition::DefinitionGuard;

use super::DdlContext;

const SIMPLE: &str = "SimpleStrategy";
const TOPOLOGY: &str = "NetworkTopologyStrategy";
const EVERYWHERE: &str = "EverywhereStrategy";
const LOCAL: &str = "LocalStrategy";
const FACTOR: &str = "replication_factor";

/// The option as it is kept: full class name, data centres written out.
/// `previous`: what the keyspace had before, for an ALTER.
pub(super) fn normalize(
    context: &DdlContext<'_>,
    keyspace: &str,
    given: &BTreeMap<String, String>,
    previous: Option<&BTreeMap<String, String>>,
    guard: &mut DefinitionGuard<'_>,
) -> Result<BTreeMap<String, String>> {
    let mut options = given.clone();
    let class = options.remove("class").ok_or(StrategyError::NoClass)?;
    let short = class.strip_prefix(PACKAGE).unwrap_or(&class).to_owned();
    match short.as_str() {
        SIMPLE => {
            guard.simple_strategy()?;
            simple(context, keyspace, &options, guard)?;
        }
        TOPOLOGY => options = topology(context, keyspace, options, previous, guard)?,
        EVERYWHERE => check_known(&options, &[], EVERYWHERE, keyspace)?,
        LOCAL => {
            return Err(Error::invalid(
                "Unable to use given strategy class: LocalStrategy is reserved for internal use.",
            ));
        }
        _ => {
            let name = if class.contains('.') { class } else { format!("{PACKAGE}{class}") };
            return Err(StrategyError::Unknown(name).into());
        }
    }
    options.insert("class".to_owned(), format!("{PACKAGE}{short}"));
    Ok(options)
}

fn simple(
    context: &DdlContext<'_>,
    keyspace: &str,
    options: &BTreeMap<String, String>,
    guard: &mut DefinitionGuard<'_>,
) -> Result<()> {
    let Some(text) = options.get(FACTOR) else {
        return Err(StrategyError::NoFactor.into());
    };
    check_known(options, &[FACTOR], SIMPLE, keyspace)?;
    let factor = replication_factor(text)?;
    guard.replicas(keyspace, factor)?;
    let nodes: usize = context.datacenters.values().sum();
    if factor > nodes {
        guard.warn(format!(
            "Your replication factor {factor} for keyspace {keyspace} is higher than the number \
             of nodes {nodes}"
        ));
    }
    Ok(())
}

fn topology(
    context: &DdlContext<'_>,
    keyspace: &str,
    mut options: BTreeMap<String, String>,
    previous: Option<&BTreeMap<String, String>>,
    guard: &mut DefinitionGuard<'_>,
) -> Result<BTreeMap<String, String>> {
    // `replication_factor` stands for every data centre that is not named itself. On ALTER it
    // keeps what a data centre had, so that a changed default never removes replicas unasked.
    if let Some(text) = options.remove(FACTOR) {
        replication_factor(&text)?;
        for name in context.datacenters.keys() {
            let before = previous.and_then(|previous| previous.get(name));
            options.entry(name.clone()).or_insert_with(|| before.unwrap_or(&text).clone());
        }
    }
    if options.is_empty() {
        return Err(Error::config("Configuration for at least one datacenter must be present"));
    }
    let known: Vec<&str> = context.datacenters.keys().map(String::as_str).collect();
    check_known(&options, &known, TOPOLOGY, keyspace)?;
    for (datacenter, text) in &options {
        let factor = replication_factor(text)?;
        guard.replicas(keyspace, factor)?;
        let nodes = context.datacenters.get(datacenter).copied().unwrap_or_default();
        if factor > nodes {
            guard.warn(format!(
                "Your replication factor {factor} for keyspace {keyspace} is higher than the \
                 number of nodes {nodes} for datacenter {datacenter}"
            ));
        }
    }
    Ok(options)
}

fn check_known(
    options: &BTreeMap<String, String>,
    known: &[&str],
    strategy: &str,
    keyspace: &str,
) -> Result<()> {
    match options.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Error::config(format!(
            "Unrecognized strategy option {{{name}}} passed to {strategy} for keyspace {keyspace}"
        ))),
        None => Ok(()),
    }
}

impl From<StrategyError> for Error {
    fn from(error: StrategyError) -> Self {
        Error::config(error.to_string())
    }
}
