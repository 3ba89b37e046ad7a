// Package archive keeps old messages in objects of an object store: Parquet files, sorted by chat and seq, of which a page of a chat
// costs one ranged read. FORMAT.md tells what is in an object, DESIGN.md how it is written, trusted and read.
package archive
