//! Prints the head of a record: `benches/record.sh` puts it above what criterion prints.

fn main() {
    println!("{}", scout40_benches::machine());
}
