//! The columns of a table: guessed from its header, or from its values where it has none.

use crate::{
    catalog::{entry::Catalog, text::Color},
    service::document::quoted,
};
use csv::StringRecord;

/// The field of an entry that a column has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Id,
    Description,
    Color,
    Order,
    Default,
    /// The catalog of the entry.
    List,
    State,
    Archived,
    Active,
}

/// The headers of names, the best first: a table may have a label for people beside a name for programs, and its own
/// word for what it lists.
const NAMES: &[&str] = &[
    "label",
    "master label",
    "display name",
    "display label",
    "name",
    "nom",
    "nombre",
    "nome",
    "naam",
    "bezeichnung",
    "libellé",
    "libelle",
    "etiqueta",
    "étiquette",
    "etiquette",
    "etichetta",
    "title",
    "titel",
    "titre",
    "tag name",
    "tag",
    "customer tag",
    "source name",
    "referral source",
    "source",
    "life cycle",
    "lifecycle",
    "lifecycle stage",
    "life cycle stage",
    "stage",
    "stage name",
    "action status",
    "status name",
    "option",
    "value",
];

/// The same as plurals, with the names of the catalogs. Such a header counts if its column is the only one, or another
/// column is known: people have tags too, in lists of customers.
const PLURALS: &[&str] = &[
    "labels",
    "names",
    "noms",
    "nombres",
    "nomi",
    "nomes",
    "namen",
    "bezeichnungen",
    "etiquetas",
    "étiquettes",
    "etiquettes",
    "etichette",
    "titles",
    "tag names",
    "tags",
    "customer tags",
    "sources",
    "referral sources",
    "life cycles",
    "lifecycles",
    "lifecycle stages",
    "life cycle stages",
    "stages",
    "stage names",
    "action statuses",
    "statuses",
    "options",
    "values",
];

/// The header of names that is one of states where another column has the names.
const STATUS: &str = "status";

/// The headers of all other columns, in English, German, French, Spanish, Italian, Portuguese and Dutch.
const HEADERS: &[(Column, &[&str])] = &[
    (Column::Id, &["id", "entry id", "tag id", "source id", "identifier"]),
    (
        Column::Description,
        &[
            "description",
            "desc",
            "details",
            "note",
            "notes",
            "comment",
            "comments",
            "help text",
            "beschreibung",
            "descripción",
            "descripcion",
            "descrizione",
            "descrição",
            "descricao",
            "omschrijving",
            "beschrijving",
        ],
    ),
    (
        Column::Color,
        &[
            "color",
            "colour",
            "hex",
            "color hex",
            "colour hex",
            "hex color",
            "hex colour",
            "color code",
            "colour code",
            "hex code",
            "farbe",
            "couleur",
            "colore",
            "cor",
            "kleur",
        ],
    ),
    (
        Column::Order,
        &[
            "order",
            "position",
            "pos",
            "sort",
            "sort order",
            "display order",
            "rank",
            "reihenfolge",
            "ordre",
            "orden",
            "ordine",
            "ordem",
            "volgorde",
        ],
    ),
    (
        Column::Default,
        &[
            "default",
            "is default",
            "default value",
            "is default value",
            "standard",
            "défaut",
            "defaut",
            "par défaut",
            "par defaut",
            "predeterminado",
            "por defecto",
            "predefinito",
            "padrão",
            "padrao",
            "standaard",
        ],
    ),
    (
        Column::List,
        &[
            "list",
            "catalog",
            "catalogue",
            "collection",
            "liste",
            "katalog",
            "lista",
            "catálogo",
            "elenco",
            "lijst",
        ],
    ),
    (Column::State, &["state", "status", "zustand", "statut", "estado", "stato"]),
    (
        Column::Archived,
        &[
            "archived",
            "is archived",
            "hidden",
            "is hidden",
            "inactive",
            "disabled",
            "archiviert",
            "archivé",
            "archivado",
            "archiviato",
            "arquivado",
            "gearchiveerd",
        ],
    ),
    (
        Column::Active,
        &[
            "active",
            "is active",
            "enabled",
            "aktiv",
            "actif",
            "activo",
            "attivo",
            "ativo",
            "actief",
        ],
    ),
];

/// The most columns without a use that are named.
const MOST_NAMED: usize = 20;

/// The columns of a table, from the first on. `None` is not used.
pub(super) struct Columns {
    pub(super) columns: Vec<Option<Column>>,
    pub(super) header: Option<StringRecord>,
}

impl Columns {
    /// The columns of which this record is the header, if it is one: it names a column of names, or columns beside
    /// another one.
    pub(super) fn of_header(record: &StringRecord) -> Option<Self> {
        let cells: Vec<String> = record.iter().map(words).collect();
        let plurals = match cells.len() == 1 || cells.iter().any(|cell| known(cell).is_some()) {
            true => PLURALS,
            false => &[],
        };
        let mut names = NAMES.iter().chain(plurals).chain([&STATUS]);
        let name = names.find_map(|name| cells.iter().position(|cell| cell == name));
        let mut columns: Vec<Option<Column>> = Vec::new();
        for (at, cell) in cells.iter().enumerate() {
            let column = known(cell).filter(|one| !columns.contains(&Some(*one)));
            columns.push(if name == Some(at) { Some(Column::Name) } else { column });
        }
        let is_header = name.is_some() || (cells.len() > 1 && columns.iter().any(Option::is_some));
        is_header.then(|| Self { columns, header: Some(record.clone()) })
    }

    /// The columns of a table without a header: one of names, or one of names and one of colors. A column whose first
    /// cell is a color is one of colors, and so is one that holds nothing else. Of another table no column is known.
    pub(super) fn of_values(sample: &[StringRecord]) -> Self {
        let width = sample.iter().map(StringRecord::len).max().unwrap_or(0);
        let holds_colors = |at: usize| {
            let is_color = |cell: &str| Color::parse("color", cell).is_ok();
            let cells = sample.iter().filter_map(|record| record.get(at)).map(str::trim);
            let mut cells = cells.filter(|cell| !cell.is_empty()).peekable();
            let begins = sample.first().and_then(|record| record.get(at)).is_some_and(is_color);
            begins || (cells.peek().is_some() && cells.all(is_color))
        };
        let columns = match width {
            1 => vec![Some(Column::Name)],
            2 if holds_colors(1) => vec![Some(Column::Name), Some(Column::Color)],
            2 if holds_colors(0) => vec![Some(Column::Color), Some(Column::Name)],
            width => vec![None; width],
        };
        Self { columns, header: None }
    }

    /// How many columns are used.
    pub(super) fn used(&self) -> usize {
        self.columns.iter().flatten().count()
    }

    pub(super) fn has(&self, column: Column) -> bool {
        self.columns.contains(&Some(column))
    }

    /// The columns in words: those that are used, and those that are not.
    pub(super) fn said(&self) -> (String, Option<String>) {
        let place = |at: usize| match self.header.as_ref().and_then(|header| header.get(at)) {
            Some(header) => format!("column {} ({})", at + 1, quoted(header.trim())),
            None => format!("column {}", at + 1),
        };
        let mut used = Vec::new();
        let mut unused = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            match column {
                Some(column) => {
                    used.push(format!("{} is {}", format!("{column:?}").to_lowercase(), place(at)));
                }
                None => unused.push(place(at)),
            }
        }
        if unused.len() > MOST_NAMED {
            let others = unused.len() - MOST_NAMED;
            unused.truncate(MOST_NAMED);
            unused.push(format!("{others} other columns"));
        }
        let unused = (!unused.is_empty()).then(|| unused.join(", "));
        (used.join(", "), unused)
    }
}

/// Whether the header is one of a column, but not of names.
pub(super) fn is_known(header: &str) -> bool {
    known(&words(header)).is_some()
}

/// The column of these words of a header, but for names.
fn known(words: &str) -> Option<Column> {
    HEADERS.iter().find(|(_, headers)| headers.contains(&words)).map(|(column, _)| *column)
}

/// The words of a header, for comparisons: `IsDefault`, `is_default` and `Is default` are the same.
pub(super) fn words(header: &str) -> String {
    let (mut words, mut before) = (String::new(), ' ');
    for c in header.trim().chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(' ');
        }
        if c.is_alphanumeric() {
            words.extend(c.to_lowercase());
        }
        before = c;
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The catalog that a cell names.
pub(super) fn catalog(cell: &str) -> Option<Catalog> {
    Some(match words(cell).as_str() {
        "customer tags" | "customer tag" | "tags" | "tag" => Catalog::CustomerTags,
        "referral sources" | "referral source" | "sources" | "source" => Catalog::ReferralSources,
        "life cycles" | "life cycle" | "lifecycles" | "lifecycle" => Catalog::LifeCycles,
        "action statuses" | "action status" | "statuses" => Catalog::ActionStatuses,
        _ => return None,
    })
}

/// Whether a cell says yes, as spreadsheet programs and people write it. An empty cell says no.
pub(super) fn truth(cell: &str) -> Option<bool> {
    const YES: &[&str] = &[
        "true",
        "yes",
        "y",
        "x",
        "1",
        "on",
        "✓",
        "✔",
        "☑",
        "ja",
        "wahr",
        "oui",
        "vrai",
        "si",
        "sí",
        "verdadero",
        "sì",
        "vero",
        "sim",
        "verdadeiro",
        "waar",
    ];
    const NO: &[&str] = &[
        "", "false", "no", "n", "0", "off", "-", "☐", "nein", "falsch", "non", "faux", "falso",
        "não", "nao", "nee", "onwaar",
    ];
    let cell = cell.trim().to_lowercase();
    match (YES.contains(&cell.as_str()), NO.contains(&cell.as_str())) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}
