//! Scalar functions, operators, casts and aggregates.

use cql_lite::ast::LiteralKind;
use cql_lite::types::decimal::Decimal;
use cql_lite::types::functions::aggregates::{AggregateFunction, Aggregation};
use cql_lite::types::functions::arithmetic::{Operator, negation, operation};
use cql_lite::types::functions::time::{max_timeuuid, min_timeuuid, timeuuid_at, timeuuid_millis};
use cql_lite::types::functions::{
    Argument, ArgumentKind, Environment, ScalarFunction, cast, resolve,
};
use cql_lite::types::text::{encode_constant, parse, to_literal};
use cql_lite::types::{CqlType, Value, compare, encode, validate};

struct World;

impl Environment for World {
    fn now_micros(&self) -> i64 {
        1_700_000_000_123_456
    }

    fn timeuuid(&self) -> [u8; 16] {
        timeuuid_at(self.now_micros() * 10, [1, 2, 3, 4, 5, 6, 7, 8])
    }

    fn random_uuid(&self) -> [u8; 16] {
        [0x44; 16]
    }
}

fn typed(ty: CqlType) -> Argument {
    Argument { kind: ArgumentKind::Typed(ty), text: "c".to_owned() }
}

fn run(function: &ScalarFunction, values: &[&str]) -> Result<String, String> {
    let bytes: Vec<_> = function
        .arguments
        .iter()
        .zip(values)
        .map(
            |(ty, text)| {
                if ty.is_collection() { literal(ty, text) } else { parse(ty, text).unwrap() }
            },
        )
        .collect();
    let values: Vec<_> = bytes.iter().map(|bytes| Some(bytes.as_slice())).collect();
    let result = function.call(&values, &World).map_err(|error| error.message)?;
    Ok(to_literal(&function.returns, result.as_deref()).unwrap())
}

/// Lists, sets and maps of ints, written as `1,2,3`.
fn literal(ty: &CqlType, text: &str) -> Vec<u8> {
    let int = |text: &str| Value::Int(text.parse().unwrap());
    let ints: Vec<_> = text.split(',').filter(|text| !text.is_empty()).map(int).collect();
    let value = match ty.unfrozen() {
        CqlType::Set(_) => Value::Set(ints),
        CqlType::Map(..) => {
            Value::Map(ints.chunks(2).map(|e| (e[0].clone(), e[1].clone())).collect())
        }
        _ => Value::List(ints),
    };
    encode(&value, ty).unwrap()
}

fn call(name: &str, arguments: &[(CqlType, &str)]) -> Result<String, String> {
    let types: Vec<_> = arguments.iter().map(|(ty, _)| typed(ty.clone())).collect();
    let function = resolve(name, &types, None).map_err(|error| error.message)?;
    run(&function.unwrap(), &arguments.iter().map(|(_, text)| *text).collect::<Vec<_>>())
}

fn operate(symbol: char, left: (CqlType, &str), right: (CqlType, &str)) -> Result<String, String> {
    use Operator::*;
    let operators = [Add, Subtract, Multiply, Divide, Modulo];
    let operator = operators.into_iter().find(|operator| operator.symbol() == symbol).unwrap();
    run(&operation(operator, &left.0, &right.0).unwrap(), &[left.1, right.1])
}

#[test]
fn operators_have_the_types_of_the_manual() {
    use CqlType::*;
    let result = |left, right| operation(Operator::Add, &left, &right).unwrap().returns;
    assert_eq!(result(Tinyint, Smallint), Smallint);
    assert_eq!(result(Int, Bigint), Bigint);
    assert_eq!(result(Counter, Int), Bigint);
    assert_eq!(result(Int, Varint), Varint);
    assert_eq!(result(Int, Float), Float);
    assert_eq!(result(Bigint, Float), Double);
    assert_eq!(result(Varint, Double), Decimal);
    assert_eq!(result(Timestamp, Duration), Timestamp);
    assert!(operation(Operator::Multiply, &Timestamp, &Duration).is_none());
    assert!(operation(Operator::Add, &Text, &Int).is_none());
}

#[test]
fn operators_compute_as_java_does() {
    use CqlType::*;
    let cases = [
        ('+', (Int, "2147483647"), (Int, "1"), "-2147483648"),
        ('/', (Int, "-7"), (Int, "2"), "-3"),
        ('%', (Int, "-7"), (Int, "2"), "-1"),
        ('*', (Bigint, "9223372036854775807"), (Varint, "2"), "18446744073709551614"),
        ('+', (Float, "0.1"), (Float, "0.2"), "0.3"),
        ('+', (Int, "16777217"), (Float, "0"), "1.6777216E7"),
        ('/', (Double, "1"), (Double, "0"), "Infinity"),
        ('/', (Decimal, "1"), (Decimal, "3"), "0.33333333333333333333333333333333"),
        ('/', (Decimal, "100"), (Decimal, "4"), "25"),
        ('-', (Decimal, "1.10"), (Int, "1"), "0.10"),
        ('%', (Decimal, "5.5"), (Decimal, "2"), "1.5"),
        ('+', (Timestamp, "2024-01-31"), (Duration, "1mo"), "'2024-02-29T00:00:00.000Z'"),
        ('-', (Date, "2024-03-01"), (Duration, "1d"), "'2024-02-29'"),
    ];
    for (symbol, left, right, expected) in cases {
        let shown = format!("{left:?} {symbol} {right:?}");
        assert_eq!(operate(symbol, left, right).as_deref(), Ok(expected), "{shown}");
    }
    let negate = negation(&Int).unwrap();
    assert_eq!(run(&negate, &["-2147483648"]).as_deref(), Ok("-2147483648"));
}

#[test]
fn operations_that_fail_say_which() {
    use CqlType::*;
    let zero = operate('/', (Int, "1"), (Bigint, "0")).unwrap_err();
    assert_eq!(zero, "the operation 'int / bigint' failed: / by zero");
    let precise = operate('+', (Date, "2024-01-01"), (Duration, "1h")).unwrap_err();
    assert!(precise.ends_with("The duration must have a day precision. Was: 1h"), "{precise}");
    let huge = operate('+', (Decimal, "1e2000000000"), (Decimal, "1")).unwrap_err();
    assert!(huge.contains("too many digits"), "{huge}");
    assert!(operate('*', (Decimal, "1e2000000000"), (Decimal, "1e2000000000")).is_err());
    assert!(operate('+', (Double, "NaN"), (Decimal, "1")).unwrap_err().contains("A NaN cannot"));
}

#[test]
fn casts_convert_as_java_does() {
    use CqlType::*;
    let cases = [
        (Int, "300", Tinyint, "44"),
        (Double, "1e300", Int, "2147483647"),
        (Double, "-1.9", Bigint, "-1"),
        (Bigint, "9223372036854775807", Decimal, "9223372036854775807"),
        (Float, "1.1", Double, "1.100000023841858"),
        (Varint, "18446744073709551617", Int, "1"),
        (Decimal, "12.9", Varint, "12"),
        (Int, "5", Text, "'5'"),
        (Boolean, "true", Ascii, "'true'"),
        (Date, "2024-02-29", Timestamp, "'2024-02-29T00:00:00.000Z'"),
        (Timestamp, "2024-02-29T12:00", Date, "'2024-02-29'"),
        (Int, "7", Int, "7"),
    ];
    for (from, text, to, expected) in cases {
        let function = cast(&from, &to).unwrap();
        assert_eq!(run(&function, &[text]).as_deref(), Ok(expected), "{from} as {to}");
    }
    assert!(cast(&Text, &Int).is_none());
    assert!(cast(&Blob, &Text).is_none());
}

#[test]
fn functions_of_time() {
    use CqlType::*;
    let noon = "2024-02-29T12:00:00.500Z";
    assert_eq!(call("to_date", &[(Timestamp, noon)]).as_deref(), Ok("'2024-02-29'"));
    assert_eq!(call("tounixtimestamp", &[(Timestamp, noon)]).as_deref(), Ok("1709208000500"));
    let least = call("mintimeuuid", &[(Timestamp, noon)]).unwrap();
    assert_eq!(
        least,
        "9d3d4a20-d6fa-11ee-8080-808080808080".replace("9d3d4a20-d6fa-11ee", &least[..18])
    );
    let back = call("totimestamp", &[(Timeuuid, &least)]);
    assert_eq!(back.as_deref(), Ok("'2024-02-29T12:00:00.500Z'"));
    let now = call("current_timestamp", &[]).unwrap();
    assert_eq!(now, "'2023-11-14T22:13:20.123Z'");
    assert_eq!(call("currentdate", &[]).as_deref(), Ok("'2023-11-14'"));
    assert_eq!(call("current_time", &[]).as_deref(), Ok("'22:13:20.123456000'"));
    assert_eq!(call("uuid", &[]).as_deref(), Ok("44444444-4444-4444-4444-444444444444"));
    assert_eq!(timeuuid_millis(&World.timeuuid()), 1_700_000_000_123);
    assert!(!resolve("now", &[], None).unwrap().unwrap().pure);
}

#[test]
fn bounds_of_timeuuids_enclose_their_millisecond_in_cassandras_order() {
    for millis in [-12_219_292_800_000, -1, 0, 1, 1_700_000_000_123] {
        let inside = timeuuid_at(millis * 10_000 + 5_000, [0xff; 8]);
        let order = |a: &[u8; 16], b: &[u8; 16]| compare(&CqlType::Timeuuid, a, b);
        assert!(order(&min_timeuuid(millis), &inside).is_lt());
        assert!(order(&inside, &max_timeuuid(millis)).is_lt());
        assert!(order(&max_timeuuid(millis), &min_timeuuid(millis + 1)).is_lt());
        assert_eq!(timeuuid_millis(&max_timeuuid(millis)), millis);
    }
}

#[test]
fn floors() {
    use CqlType::*;
    let floor = |ty: CqlType, value, duration| call("floor", &[(ty, value), (Duration, duration)]);
    let at = "2024-05-17T10:29:31.123Z";
    assert_eq!(floor(Timestamp, at, "1h").as_deref(), Ok("'2024-05-17T10:00:00.000Z'"));
    assert_eq!(floor(Timestamp, at, "1mo").as_deref(), Ok("'2024-05-01T00:00:00.000Z'"));
    assert_eq!(floor(Timestamp, at, "1y").as_deref(), Ok("'2024-01-01T00:00:00.000Z'"));
    assert_eq!(floor(Date, "2024-05-17", "1w").as_deref(), Ok("'2024-05-16'"));
    assert_eq!(floor(Time, "10:29:31", "10m").as_deref(), Ok("'10:20:00.000000000'"));
    let start = [(Timestamp, at), (Duration, "2mo"), (Timestamp, "2024-01-15")];
    assert_eq!(call("floor", &start).as_deref(), Ok("'2024-05-15T00:00:00.000Z'"));
    let negative = floor(Timestamp, at, "-1h").unwrap_err();
    assert_eq!(negative, "Negative durations are not supported by the floor function");
    assert!(floor(Timestamp, "1960-01-01", "1h").unwrap_err().contains("starting time"));
    assert!(floor(Date, "2024-05-17", "1h").unwrap_err().contains("below 1 day"));
}

#[test]
fn mathematics() {
    use CqlType::*;
    assert_eq!(call("abs", &[(Int, "-5")]).as_deref(), Ok("5"));
    assert_eq!(call("abs", &[(Decimal, "-1.50")]).as_deref(), Ok("1.50"));
    assert_eq!(call("exp", &[(Double, "0")]).as_deref(), Ok("1.0"));
    assert_eq!(call("log10", &[(Int, "1000")]).as_deref(), Ok("3"));
    assert_eq!(call("exp", &[(Varint, "100")]).unwrap().len(), 44);
    assert_eq!(call("round", &[(Double, "2.5")]).as_deref(), Ok("3.0"));
    assert_eq!(call("round", &[(Double, "-2.5")]).as_deref(), Ok("-2.0"));
    assert_eq!(call("round", &[(Double, "0.49999999999999994")]).as_deref(), Ok("0.0"));
    assert_eq!(call("round", &[(Decimal, "2.5")]).as_deref(), Ok("3"));
    assert!(call("log", &[(Decimal, "-1")]).is_err());
}

#[test]
fn blobs_change_only_their_type() {
    use CqlType::*;
    assert_eq!(call("int_as_blob", &[(Int, "1")]).as_deref(), Ok("0x00000001"));
    assert_eq!(call("blobasbigint", &[(Blob, "0000000000000001")]).as_deref(), Ok("1"));
    assert_eq!(call("textasblob", &[(Text, "a")]).as_deref(), Ok("0x61"));
    let short = call("blob_as_int", &[(Blob, "01")]).unwrap_err();
    let expected = "In call to function system.blob_as_int, value 0x01 is not a valid binary \
                    representation for type int";
    assert_eq!(short, expected);
}

#[test]
fn functions_of_collections() {
    let ints = |wrap: fn(Box<CqlType>) -> CqlType| wrap(Box::new(CqlType::Int));
    let (list, set) = (ints(CqlType::List), ints(CqlType::Set).frozen());
    let map = CqlType::Map(Box::new(CqlType::Int), Box::new(CqlType::Int));
    assert_eq!(call("map_keys", &[(map.clone(), "2,20,1,10")]).as_deref(), Ok("{1, 2}"));
    assert_eq!(call("map_values", &[(map.clone(), "2,20,1,10")]).as_deref(), Ok("[10, 20]"));
    assert_eq!(call("collection_count", &[(map.clone(), "2,20,1,10")]).as_deref(), Ok("2"));
    assert_eq!(call("collection_max", &[(set, "3,1,2")]).as_deref(), Ok("3"));
    assert_eq!(call("collection_avg", &[(list.clone(), "1,2")]).as_deref(), Ok("1"));
    assert_eq!(call("collection_sum", &[(list.clone(), "")]).as_deref(), Ok("0"));
    let wrong = call("map_keys", &[(list, "1")]).unwrap_err();
    let expected = "Function system.map_keys requires a map argument, but found argument c of \
                    type list<int>";
    assert_eq!(wrong, expected);
}

#[test]
fn json_and_similarity() {
    let json = resolve("tojson", &[typed(CqlType::Int)], None).unwrap().unwrap();
    assert_eq!(run(&json, &["5"]).as_deref(), Ok("'5'"));
    let any = Argument { kind: ArgumentKind::Untyped, text: "?".to_owned() };
    let back = resolve("from_json", &[any], Some(&CqlType::Int)).unwrap().unwrap();
    assert_eq!(run(&back, &["5"]).as_deref(), Ok("5"));
    assert!(run(&back, &["[]"]).unwrap_err().starts_with("execution of 'system.from_json[text]'"));
    let vector = CqlType::Vector(Box::new(CqlType::Float), 2);
    let function = resolve("similarity_cosine", &[typed(vector.clone()), typed(vector)], None);
    let function = function.unwrap().unwrap();
    let one = [0x3f, 0x80, 0, 0, 0, 0, 0, 0];
    let same = function.call(&[Some(&one), Some(&one)], &World).unwrap().unwrap();
    assert_eq!(same, [0x3f, 0x80, 0, 0]);
    assert!(function.call(&[Some(&[0; 8]), Some(&one)], &World).is_err());
}

#[test]
fn calls_are_resolved_as_cassandra_does() {
    assert!(resolve("nope", &[], None).unwrap().is_none());
    let error = |name, arguments: &[Argument]| resolve(name, arguments, None).unwrap_err().message;
    let none = error("totimestamp", &[typed(CqlType::Text)]);
    assert!(none.starts_with("Invalid call to function totimestamp, none of its type"), "{none}");
    assert!(none.contains("system.totimestamp : (timeuuid) -> timestamp"), "{none}");
    let marker = Argument { kind: ArgumentKind::Untyped, text: "?".to_owned() };
    let ambiguous = error("todate", std::slice::from_ref(&marker));
    assert!(ambiguous.starts_with("Ambiguous call to function todate"), "{ambiguous}");
    let number = error("uuid", std::slice::from_ref(&marker));
    assert!(number.ends_with("system.uuid: 0 required but 1 provided"), "{number}");
    let constant =
        Argument { kind: ArgumentKind::Constant(LiteralKind::Integer), text: "5".into() };
    let abs = resolve("abs", &[constant], None).unwrap().unwrap();
    assert_eq!(abs.returns, CqlType::Int);
    let bound = resolve("blobasint", &[marker], None).unwrap().unwrap();
    assert_eq!(bound.arguments, [CqlType::Blob]);
}

fn aggregate(aggregation: Aggregation, ty: &CqlType, values: &[&str]) -> String {
    let function = AggregateFunction::new(aggregation, Some(ty)).unwrap();
    let mut state = function.start();
    state.add(None).unwrap();
    for text in values {
        state.add(Some(&parse(ty, text).unwrap())).unwrap();
    }
    to_literal(&function.returns, state.result().unwrap().as_deref()).unwrap()
}

#[test]
fn aggregates_give_cassandras_types_and_values() {
    use Aggregation::*;
    use CqlType::{Bigint, Decimal as DecimalType, Double, Int, Text, Varint};
    assert_eq!(aggregate(Count, &Text, &["a", "b"]), "2");
    assert_eq!(aggregate(Min, &Text, &["b", "a"]), "'a'");
    assert_eq!(aggregate(Max, &Int, &["-5", "3"]), "3");
    assert_eq!(aggregate(Min, &Int, &[]), "null");
    assert_eq!(aggregate(Sum, &Int, &["2147483647", "1"]), "-2147483648");
    assert_eq!(aggregate(Sum, &Int, &[]), "0");
    assert_eq!(aggregate(Avg, &Int, &["2147483647", "2147483647"]), "2147483647");
    assert_eq!(aggregate(Avg, &Int, &["-1", "-2"]), "-1");
    assert_eq!(aggregate(Avg, &Bigint, &["9223372036854775807", "1"]), "4611686018427387904");
    assert_eq!(aggregate(Sum, &Double, &["0.1"; 10]), "1.0");
    assert_eq!(aggregate(Sum, &Double, &["Infinity", "1"]), "Infinity");
    assert_eq!(aggregate(Avg, &Double, &[]), "0.0");
    assert_eq!(aggregate(Avg, &Varint, &["1", "2"]), "1");
    assert_eq!(aggregate(Sum, &DecimalType, &["1.10", "2"]), "3.10");
    assert_eq!(aggregate(Avg, &DecimalType, &["1.0", "2.0"]), "1.5");
    assert_eq!(aggregate(Sum, &Int, &["", "4"]), "4");
    let mut rows = AggregateFunction::new(Count, None).unwrap().start();
    rows.add(None).unwrap();
    assert_eq!(rows.result().unwrap().unwrap(), [0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(AggregateFunction::new(Sum, Some(&Text)).is_none());
    assert_eq!(Aggregation::named("avg"), Some(Avg));
}

#[test]
fn constants_of_too_many_digits_are_refused() {
    let digits = "9".repeat(200_000);
    assert!(encode_constant(LiteralKind::Integer, &digits, &CqlType::Varint).is_err());
    assert!(Decimal::parse(&digits).is_none());
    let long = validate(&CqlType::Varint, &[1; 8_193]).unwrap_err().message;
    assert_eq!(long, "A varint of 8193 bytes is longer than maximum of 8192");
}
