// The corpora that `fathom prepare NAME` makes without a file of the user's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fathom/data/documents.h"

namespace fathom {

// A file of a corpus of documents.
struct CorpusPart {
  std::string url;
  std::string split = {};   // that it is of; empty: documents are drawn for validation
  uint64_t bytes = 0;       // 0: not known
  std::string sha256 = {};  // empty: not known
};

struct KnownCorpus {
  std::string name;
  std::string description;
  std::string tokenizer;             // the kind it is prepared with unless another is asked for
  int64_t vocab_size = 0;            // and the vocabulary that this gives
  std::string source;                // where the text comes from, for people
  std::string url;                   // empty: not a download
  uint64_t bytes = 0;                // of the text; 0: not checked
  std::string sha256;                // of the text; empty: not checked
  std::vector<std::string> program;  // that prints the text; empty: none
  std::string package;               // that brings the program
  bool verse_numbers = false;        // every line begins with one, which is not part of the text

  // Of documents, in many files (documents.h).
  bool has_documents = false;
  DocumentForm form;
  std::vector<CorpusPart> parts;
  bool has_splits = false;  // its files are of train, validation or test, by their names
  double val_fraction = 0;  // of the documents, unless another is asked for
};

const std::vector<KnownCorpus>& known_corpora();
inline bool is_downloaded(const KnownCorpus& corpus) {
  return !corpus.url.empty() || !corpus.parts.empty();
}
const KnownCorpus* find_known_corpus(const std::string& name);  // null: there is none

}  // namespace fathom
