//! Apache Parquet: columns in row groups, compressed with Snappy, which every reader knows.

use std::{io::Write, sync::Arc};

use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};

use super::{Column, Kind, Table, TableWriter, Value};
use crate::export::ExportError;

/// Rows that are held and written together.
const GROUP: usize = 32_768;

/// The rows of a column that are held.
struct Held {
    column: Column,
    values: Values,
    /// For each row, whether it has a value; of a column in which each has one, nothing.
    levels: Vec<i16>,
}

enum Values {
    Ints(Vec<i64>),
    Texts(Vec<ByteArray>),
    Bools(Vec<bool>),
}

/// Writes a table.
pub struct ParquetWriter<W: Write + Send> {
    file: SerializedFileWriter<W>,
    columns: Vec<Held>,
    rows: usize,
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Begins a table.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(table: Table, out: W) -> Result<Self, ExportError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("whywait {}", env!("CARGO_PKG_VERSION")))
            .build();
        let file = SerializedFileWriter::new(out, schema(table)?, Arc::new(properties))?;
        let columns = table.columns().iter().copied().map(Held::new).collect();
        Ok(Self { file, columns, rows: 0 })
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for held in &mut self.columns {
            held.write(&mut group)?;
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }
}

impl<W: Write + Send> TableWriter for ParquetWriter<W> {
    fn row(&mut self, values: &[Value<'_>]) -> Result<(), ExportError> {
        for (held, value) in self.columns.iter_mut().zip(values) {
            held.push(value);
        }
        self.rows += 1;
        if self.rows == GROUP { self.flush() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), ExportError> {
        self.flush()?;
        self.file.finish()?;
        Ok(self.file.inner_mut().flush()?)
    }
}

impl Held {
    fn new(column: Column) -> Self {
        let values = match column.kind {
            Kind::Int | Kind::Time => Values::Ints(Vec::new()),
            Kind::Text => Values::Texts(Vec::new()),
            Kind::Bool => Values::Bools(Vec::new()),
        };
        Self { column, values, levels: Vec::new() }
    }

    fn push(&mut self, value: &Value<'_>) {
        if self.column.optional {
            self.levels.push(i16::from(*value != Value::None));
        }
        match (&mut self.values, value) {
            (Values::Ints(ints), Value::Int(value)) => ints.push(*value),
            (Values::Ints(ints), Value::Time(time)) => {
                ints.push(i64::try_from(time.clock.unix(time.at)).unwrap_or(i64::MAX));
            }
            (Values::Texts(texts), Value::Text(text)) => texts.push(ByteArray::from(&**text)),
            (Values::Bools(bools), Value::Bool(value)) => bools.push(*value),
            _ => debug_assert_eq!(value, &Value::None, "another kind than that of {}", self.column.name),
        }
    }

    fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), ParquetError> {
        match &mut self.values {
            Values::Ints(values) => write_column::<Int64Type, W>(group, values, &self.levels)?,
            Values::Texts(values) => write_column::<ByteArrayType, W>(group, values, &self.levels)?,
            Values::Bools(values) => write_column::<BoolType, W>(group, values, &self.levels)?,
        }
        self.levels.clear();
        Ok(())
    }
}

fn write_column<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &mut Vec<T::T>,
    levels: &[i16],
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("a row has more columns than its table".to_owned()));
    };
    let levels = (!levels.is_empty()).then_some(levels);
    column.typed::<T>().write_batch(values, levels, None)?;
    values.clear();
    column.close()
}

fn schema(table: Table) -> Result<TypePtr, ParquetError> {
    let fields = table.columns().iter().map(|column| {
        let (physical, logical) = match column.kind {
            Kind::Int => (Physical::INT64, None),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Bool => (Physical::BOOLEAN, None),
            Kind::Time => {
                (Physical::INT64, Some(LogicalType::timestamp(true, parquet::basic::TimeUnit::NANOS)))
            }
        };
        let repetition = if column.optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        Type::primitive_type_builder(column.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    });
    let fields = fields.collect::<Result<Vec<_>, _>>()?;
    Type::group_type_builder(table.name()).with_fields(fields).build().map(Arc::new)
}
