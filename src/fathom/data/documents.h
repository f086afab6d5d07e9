// Documents out of the files that large corpora are published in:
//
//   JSON lines            an object a line, with "text" and, where titles are wanted, "title"
//   Parquet               the same as columns, by a Node program over hyparquet (parquet_program.h)
//   tar archives          of .txt files, a document each; of .xz files, which are such archives
//                         again (openwebtext.tar.xz)
//   text                  one document, or a part of one
//   any of these behind gzip, zstd, xz or bzip2, by those programs
//
// A file is known by its content; only what is called .jsonl or .ndjson is JSON lines or nothing.
// It streams: at most one document is in memory; of Parquet, a group of rows.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "fathom/io/byte_stream.h"

namespace fathom {

inline constexpr uint64_t kMaxDocumentBytes = 256 << 20;  // a longer one is refused
inline constexpr uint64_t kMaxJsonLineBytes = 16 << 20;   // and a longer row, all its fields

struct DocumentForm {
  bool titled = false;  // "Title: <title>\n" before the text of a row that has one
  bool joined = false;  // rows and files are parts of one text, not documents
  bool tidy = false;    // in archives: three newlines or more become two, and the ends are trimmed
};

class DocumentSink {
 public:
  virtual ~DocumentSink() = default;
  // A document begins, or where they are joined, a row or a file. False: enough.
  virtual bool begin() = 0;
  virtual void text(std::string_view part) = 0;
};

// `place` is told the bytes of the file that were read; it may throw. False: the sink had enough.
// Throws Error that names file and line for what is none of these.
bool read_documents(const std::string& path, const DocumentForm& form, DocumentSink& sink,
                    const std::function<void(uint64_t)>& place = {});

// A program that unpacks what begins with these bytes (gzip, zstd, xz, bzip2); null: none.
const Program* unpacker(std::string_view head);

// Its parts, for bytes from anywhere; `name` stands for them in errors.
bool read_json_lines(ByteStream& bytes, const std::string& name, const DocumentForm& form,
                     DocumentSink& sink);
// `member` is given name and content of each file; false: enough.
bool read_tar(ByteStream& bytes, const std::string& name,
              const std::function<bool(const std::string&, std::string)>& member);
std::string tidied(std::string_view text);

}  // namespace fathom
