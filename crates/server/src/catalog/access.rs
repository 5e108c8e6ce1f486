//! The rights of callers: scopes, coverage, and the grants without which no data can be reached.
//!
//! Only this file can build a caller, which is a [`Holder`] of a key whose scopes were checked, and a grant, which a
//! caller gets for a company that its key covers. Every company-scoped method of the store and of the snapshot cache
//! takes a grant, so that forgetting either check does not compile.

use std::{collections::BTreeSet, fmt, net::IpAddr, ops::Deref, sync::Arc};

use super::{
    delta::Delta,
    error::{Error, Kind, MOST_NAMED, Result, Violation, few},
    id::{CompanyId, KeyId, StaffId},
    settings::Subject,
    stream::Stream,
    text::Name,
    time::Timestamp,
    token::RevisionToken,
};
use ipnet::IpNet;

/// A permission of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read the four catalogs.
    SettingsRead,
    /// Change the four catalogs.
    SettingsWrite,
    /// Read companies and locations.
    CompaniesRead,
    /// Change companies and locations.
    CompaniesWrite,
    /// Read keys.
    KeysRead,
    /// Issue, change and revoke keys.
    KeysWrite,
    /// Read the change logs.
    HistoryRead,
    /// Name, with each request, the staff member who acts.
    StaffAny,
    /// Write as a system outside does: give authors and times of entries, and companies' sources.
    SourcesWrite,
}

impl Scope {
    /// All scopes, which `*` stands for.
    pub const ALL: [Self; 9] = [
        Self::SettingsRead,
        Self::SettingsWrite,
        Self::CompaniesRead,
        Self::CompaniesWrite,
        Self::KeysRead,
        Self::KeysWrite,
        Self::HistoryRead,
        Self::StaffAny,
        Self::SourcesWrite,
    ];

    /// The name in keys and errors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SettingsRead => "settings:read",
            Self::SettingsWrite => "settings:write",
            Self::CompaniesRead => "companies:read",
            Self::CompaniesWrite => "companies:write",
            Self::KeysRead => "keys:read",
            Self::KeysWrite => "keys:write",
            Self::HistoryRead => "history:read",
            Self::StaffAny => "staff:any",
            Self::SourcesWrite => "sources:write",
        }
    }

    /// The scope of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The scopes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scopes {
    /// `*`: all scopes, also those that are added later.
    All,
    /// The listed scopes.
    Only(BTreeSet<Scope>),
}

impl Scopes {
    /// Parses scope names, with or without `*` among them. `field` names them in the error.
    pub fn parse<'a>(
        field: &str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Violation> {
        let (mut scopes, mut unknown) = (BTreeSet::new(), Vec::new());
        let mut all = false;
        for name in names {
            match Scope::named(name) {
                Some(scope) => _ = scopes.insert(scope),
                None if name == "*" => all = true,
                None => unknown.push(format!("\"{name}\"")),
            }
        }
        if !unknown.is_empty() {
            let known = Scope::ALL.map(Scope::as_str).join(", ");
            let s = if unknown.len() == 1 { "" } else { "s" };
            let unknown = few(&unknown, MOST_NAMED);
            let description =
                format!("has the unknown scope{s} {unknown}; there are {known} and *");
            return Err(Violation::new(field, "UNKNOWN_SCOPE", description));
        }
        Ok(if all { Self::All } else { Self::Only(scopes) })
    }

    /// The scopes' names, sorted; `*` for all.
    pub fn names(&self) -> Vec<&'static str> {
        match self {
            Self::All => vec!["*"],
            Self::Only(scopes) => scopes.iter().map(|scope| scope.as_str()).collect(),
        }
    }

    /// Refuses a request that needs scopes which are not among these.
    fn check(&self, needed: impl Iterator<Item = Scope>) -> Result<()> {
        let lacking: Vec<Scope> = needed.filter(|scope| !self.contains(*scope)).collect();
        match lacking.is_empty() {
            true => Ok(()),
            false => Err(Error::MissingScope { scopes: lacking, why: None }),
        }
    }

    /// Whether the scope is among these.
    pub fn contains(&self, scope: Scope) -> bool {
        match self {
            Self::All => true,
            Self::Only(scopes) => scopes.contains(&scope),
        }
    }
}

/// The companies that a key covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Every company, also those made later.
    All,
    /// The listed companies.
    Only(BTreeSet<CompanyId>),
}

impl Coverage {
    /// Whether the key covers the company.
    pub fn contains(&self, company: &CompanyId) -> bool {
        match self {
            Self::All => true,
            Self::Only(companies) => companies.contains(company),
        }
    }
}

/// The one who acts, for the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The key that was used; none for local commands.
    pub key_id: Option<KeyId>,
    /// The name that the key has at this time: it may get another, and the change log goes on naming this one.
    pub key_name: Option<Arc<Name>>,
    /// The one whom the change log names as the author: the key's staff id, else the key's id, else
    /// the name of the command.
    pub staff_id: StaffId,
    /// The address of the request; none for local commands.
    pub address: Option<IpAddr>,
}

/// The restrictions of a key. All of them apply together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say what they are")]
pub struct Rights {
    pub scopes: Scopes,
    pub coverage: Coverage,
    /// Networks from which the key may be used; if empty, from anywhere.
    pub addresses: Vec<IpNet>,
    pub expires_time: Option<Timestamp>,
    /// The staff member that the key acts as, whomever the request names.
    pub staff_id: Option<StaffId>,
}

impl Rights {
    /// All rights: those of commands that can read and write the data itself.
    fn all() -> Self {
        Self {
            scopes: Scopes::All,
            coverage: Coverage::All,
            addresses: Vec::new(),
            expires_time: None,
            staff_id: None,
        }
    }
}

/// The holder of a valid key, at an address that the key allows. Nothing is decided yet about the
/// method that is called.
#[derive(Clone, Debug)]
pub struct Holder {
    /// The author of this holder's changes.
    pub actor: Actor,
    /// The restrictions of the key; shared, as every request of the key has the same.
    pub rights: Arc<Rights>,
    /// The revision that the holder's client knows: answers about a stream must be at least as new.
    pub at_least: Option<RevisionToken>,
}

impl Holder {
    /// The right to call a method that needs these scopes, or the error with the scopes that the key lacks. This,
    /// [`Grant::check_taken_back`] and [`Grant::check_needs`] are the only checks of scopes.
    pub fn permitted(self, needed: &[Scope]) -> Result<Caller> {
        self.rights.scopes.check(needed.iter().copied())?;
        Ok(Caller(self))
    }
}

/// A holder whose key has the scopes of the called method. Only [`Holder::permitted`] makes it.
#[derive(Clone, Debug)]
pub struct Caller(Holder);

impl Deref for Caller {
    type Target = Holder;

    fn deref(&self) -> &Holder {
        &self.0
    }
}

impl Caller {
    /// The same caller in the name of a staff member, which needs `staff:any`. `field` names the staff id in the error.
    pub fn acting_as(self, field: &str, staff_id: &str) -> Result<Self> {
        let Self(mut holder) = self.0.permitted(&[Scope::StaffAny])?;
        holder.actor.staff_id = StaffId::parse(field, staff_id)?;
        Ok(Self(holder))
    }

    /// Refuses a caller whose key lacks scopes that a part of its request needs beside those of the method.
    pub fn also(&self, needed: &[Scope]) -> Result<()> {
        self.0.clone().permitted(needed).map(|_| ())
    }

    /// The same caller, whose answers must be at least as new as `at_least`.
    pub fn reading_at_least(self, at_least: RevisionToken) -> Self {
        Self(Holder { at_least: Some(at_least), ..self.0 })
    }

    /// The right to use one company's data.
    ///
    /// A company that the key does not cover is refused in the same way whether or not it exists.
    pub fn grant(&self, company: &CompanyId) -> Result<Grant> {
        if !self.rights.coverage.contains(company) {
            return Err(self.absent(Kind::Company, company.as_str()));
        }
        let (stream, actor, rights) =
            (Stream::company(company), self.actor.clone(), self.rights.clone());
        Ok(Grant { stream, actor, rights, at_least: self.at_least })
    }

    /// The right to look across all companies that the key covers.
    pub fn grant_covered(&self) -> CoveredGrant {
        let (rights, actor) = (self.rights.clone(), self.actor.clone());
        CoveredGrant { rights, actor, at_least: self.at_least }
    }

    /// The error for a thing that does not exist. Only a key that covers all companies learns that it does not exist.
    pub fn absent(&self, kind: Kind, id: &str) -> Error {
        let id = id.to_owned();
        match self.rights.coverage {
            Coverage::All => Error::NotFound { kind, id },
            Coverage::Only(_) => Error::NotCovered { kind, id },
        }
    }
}

/// Work of the program itself, without a key. The list is named, so that each use can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// `customer-settings load`, and the demo.
    Load,
    /// `customer-settings export`.
    Export,
    /// A command of the management API that works on a data directory or a database itself.
    Local,
    /// `customer-settings restore`.
    Restore,
    /// `customer-settings verify`.
    Verify,
    /// `customer-settings copy`.
    Copy,
}

impl Task {
    /// The author that the change log names.
    pub fn actor(self) -> Actor {
        let name = match self {
            Self::Load => "load",
            Self::Export => "export",
            Self::Local => "local",
            Self::Restore => "restore",
            Self::Verify => "verify",
            Self::Copy => "copy",
        };
        let staff_id =
            StaffId::parse("task", name).unwrap_or_else(|_| unreachable!("a literal id"));
        Actor { key_id: None, key_name: None, staff_id, address: None }
    }

    /// A holder with all rights: a command that can read and write the data itself.
    pub fn holder(self) -> Holder {
        Holder { actor: self.actor(), rights: Arc::new(Rights::all()), at_least: None }
    }

    /// The program's own right to one company's data.
    pub fn grant(self, company: &CompanyId) -> Grant {
        let (stream, rights) = (Stream::company(company), Arc::new(Rights::all()));
        Grant { stream, actor: self.actor(), rights, at_least: None }
    }

    /// The program's own right to look across companies.
    pub fn grant_covered(self) -> CoveredGrant {
        CoveredGrant { rights: Arc::new(Rights::all()), actor: self.actor(), at_least: None }
    }
}

/// The right to use the data of one stream, which is a company. Only a [`Caller`] or a [`Task`] makes one.
#[derive(Clone, Debug)]
pub struct Grant {
    stream: Stream,
    actor: Actor,
    rights: Arc<Rights>,
    at_least: Option<RevisionToken>,
}

#[expect(missing_docs, reason = "the methods are named like the fields")]
impl Grant {
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The company of the stream.
    pub fn company(&self) -> CompanyId {
        let id = CompanyId::parse("company", self.stream.id());
        id.unwrap_or_else(|_| unreachable!("the stream was made of a company's id"))
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The revision that an answer must be at least as new as.
    pub fn at_least(&self) -> Option<RevisionToken> {
        self.at_least
    }

    /// Whether the key may read all of these things. Errors name no other changes.
    pub fn may_read<'a>(&self, things: impl IntoIterator<Item = &'a Subject>) -> bool {
        let needed = |thing: &Subject| match thing {
            Subject::Catalog(_) | Subject::Entry(..) => Scope::SettingsRead,
            Subject::Company | Subject::Business(_) => Scope::CompaniesRead,
            Subject::Key(_) => Scope::KeysRead,
        };
        things.into_iter().all(|thing| self.rights.scopes.contains(needed(thing)))
    }

    /// Refuses to take back what the key could not have changed: the methods for undoing and rolling back need
    /// `settings:write`, and where the company or a location is touched, also `companies:write`, and where the
    /// company's source is touched, also `sources:write`.
    pub fn check_taken_back(&self, deltas: &[Delta]) -> Result<()> {
        let is_of_companies = deltas.iter().any(|delta| delta.entry_id().is_none());
        let is_of_sources = deltas.iter().any(|delta| delta.fields().contains(&"source"));
        let needed =
            [(is_of_companies, Scope::CompaniesWrite), (is_of_sources, Scope::SourcesWrite)];
        let needed = needed.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, scope)| scope);
        self.rights.scopes.check(needed)
    }

    /// Refuses the plan of a document that needs scopes which the key lacks. Each need has its reason, as a sentence.
    pub fn check_needs(&self, needs: &[(Scope, String)]) -> Result<()> {
        let is_lacking = |(scope, _): &&(Scope, String)| !self.rights.scopes.contains(*scope);
        let lacking: Vec<_> = needs.iter().filter(is_lacking).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let scopes = lacking.iter().map(|(scope, _)| *scope).collect::<BTreeSet<_>>();
        let why: Vec<&str> = lacking.iter().map(|(_, why)| why.as_str()).collect();
        let why = Some(why.join("; "));
        Err(Error::MissingScope { scopes: scopes.into_iter().collect(), why })
    }
}

/// The right to look across the companies of a coverage.
#[derive(Clone, Debug)]
pub struct CoveredGrant {
    rights: Arc<Rights>,
    actor: Actor,
    at_least: Option<RevisionToken>,
}

#[expect(missing_docs, reason = "the methods are named like the fields")]
impl CoveredGrant {
    pub fn coverage(&self) -> &Coverage {
        &self.rights.coverage
    }

    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The right to one company's data, if the coverage has it.
    pub fn grant(&self, company: &CompanyId) -> Option<Grant> {
        let (at_least, actor, rights) = (self.at_least, self.actor.clone(), self.rights.clone());
        let grant = || Grant { stream: Stream::company(company), actor, rights, at_least };
        self.rights.coverage.contains(company).then(grant)
    }
}
