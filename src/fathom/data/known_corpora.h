// The corpora that `fathom prepare NAME` makes without a file of the user's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace fathom {

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
};

const std::vector<KnownCorpus>& known_corpora();
const KnownCorpus* find_known_corpus(const std::string& name);  // null: there is none

}  // namespace fathom
