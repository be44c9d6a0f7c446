//! What migrations are written with.

use sea_orm_migration::sea_query::{
    ColumnDef, Index, IndexCreateStatement, IntoIden, Table, TableCreateStatement,
};

pub(super) fn table(
    name: &'static str,
    columns: impl IntoIterator<Item = ColumnDef>,
) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(name.into_iden());
    for mut column in columns {
        table.col(&mut column);
    }
    table
}

pub(super) fn index(
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table.into_iden());
    for column in columns {
        index.col((*column).into_iden());
    }
    index
}

pub(super) fn unique(
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> IndexCreateStatement {
    let mut unique = index(name, table, columns);
    unique.unique();
    unique
}
