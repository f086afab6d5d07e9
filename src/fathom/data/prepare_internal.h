// Shared by the files prepare*.cpp; nothing else includes it.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/corpus.h"
#include "fathom/data/prepare.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

// Whether the file is JSON lines: as asked, or by its name.
bool reads_rows(const PrepareOptions& options);
// The columns that rows may have, as in RowFields.
std::vector<std::string> row_columns(const PrepareOptions& options);
// The folder's name, after every check that needs no text. `known` is null for a file.
std::string check_options(const PrepareOptions& options, const KnownCorpus* known);
// The line that prepares the same corpus again: every field that is not at its default.
std::string command_line(PrepareOptions options);
// What "<|endoftext|>" in a text is; into the recipe goes what differs from the usual, and matters.
Specials specials_of(const PrepareOptions& options);
void add_specials(const PrepareOptions& options, const std::string& tokenizer,
                  nlohmann::json& recipe);
// Equal recipes give equal files.
nlohmann::json recipe(const PrepareOptions& options, const std::string& tokenizer,
                      const std::string& sha256);

// prepare() of a corpus of documents.
PrepareReport prepare_documents(const PrepareOptions& options, const KnownCorpus& known,
                                const PrepareProgress& progress, const PrepareWarning& warn);

// `meta`: the corpus's meta.json. Reads the whole train split.
PrepareReport describe_prepared(const Corpus& corpus, const nlohmann::json& meta);
// The same of the corpus in `folder`, with what its preparation said.
PrepareReport report_of(const std::filesystem::path& folder, bool already_prepared,
                        std::vector<std::string> notices);

// How often "<|endoftext|>" became its token, or stayed text for want of one; nothing is said of 0.
void note_specials(uint64_t count, const Tokenizer& tokenizer, std::vector<std::string>& notices);
// What editors of Windows leave in texts: it stays there, and is told. A text comes in parts.
class WindowsMarks {
 public:
  void add(std::string_view part);
  void end();  // of a text
  void note(std::vector<std::string>& notices) const;

 private:
  std::string head_;           // a text's first three bytes
  bool after_return_ = false;  // the part before ended with one
  uint64_t lines_ = 0;         // that end in CRLF
  uint64_t texts_ = 0;         // that begin with a byte order mark
};

// A folder's meta.json; null where there is none, or none that can be read as one. These throw
// SystemError where the system is the reason.
nlohmann::json read_meta(const std::filesystem::path& folder);
bool is_empty_folder(const std::filesystem::path& folder);
// Whether it holds the corpus of this recipe already, so that nothing is to be done. Throws Error
// when something else is there, unless `force`; then `said.warn` is told what will be removed,
// once.
struct ReplacementWords {
  const PrepareWarning& warn;
  std::vector<std::string>& notices;
  bool& said;
};
bool is_prepared(const std::filesystem::path& folder, const nlohmann::json& recipe, bool force,
                 ReplacementWords words);
// Replacing a folder removes what is in it: throws where there is what no preparation writes.
void check_replaceable(const std::filesystem::path& folder);
// The folder of all corpora. One that was made here for a corpus that then did not come goes again.
class DataRoot {
 public:
  explicit DataRoot(std::filesystem::path folder);
  ~DataRoot();
  DataRoot(const DataRoot&) = delete;
  DataRoot& operator=(const DataRoot&) = delete;

 private:
  std::filesystem::path folder_;
  bool made_ = false;
};

// How the corpus of that meta.json differs from one of a text with that checksum: "made from
// notes.txt". And the same with its size.
std::string made_from(const nlohmann::json& meta, const std::string& sha256);
std::string corpus_shown(const nlohmann::json& meta, const std::string& sha256);
// Itself, or with what cannot be shown as \x.. .
std::string shown_path(const std::string& path);

}  // namespace fathom
