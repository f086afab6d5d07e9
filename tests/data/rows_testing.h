// Corpora of rows, made by hand so as not to trust what prepares them.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/data_testing.h"
#include "fathom/data/bpe.h"
#include "fathom/data/corpus.h"
#include "fathom/data/data_set.h"
#include "fathom/data/row.h"
#include "fathom/data/tokenizer.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"

namespace fathom::testing {

inline Row answer(std::string prompt, std::string truth) {
  Row row;
  row.prompt = std::move(prompt);
  row.truth = std::move(truth);
  return row;
}
inline Row text_row(std::string text, std::string title = "") {
  Row row;
  row.is_text = true;
  row.text = std::move(text);
  row.title = std::move(title);
  return row;
}

// A token a byte, and one more that ends a text, 256; with `merges`, such as "bc", tokens of two
// bytes from 256 on and the end behind them.
inline std::unique_ptr<Tokenizer> byte_pairs(const std::vector<std::string>& merges = {}) {
  BpeVocabulary vocabulary;
  for (int b = 0; b < 256; ++b) vocabulary.tokens.emplace_back(1, static_cast<char>(b));
  vocabulary.tokens.insert(vocabulary.tokens.end(), merges.begin(), merges.end());
  vocabulary.specials = {"<|endoftext|>"};
  return make_bpe_tokenizer("bpe", std::move(vocabulary));
}
constexpr int64_t kEnd = 256;

// The same rows in both splits.
inline Corpus rows_corpus(const std::string& folder, const std::vector<Row>& rows,
                          const Tokenizer& tokenizer) {
  std::filesystem::create_directories(folder);
  std::string lines;
  for (const Row& row : rows) lines += row_line(row) + "\n";
  nlohmann::json splits;
  for (const std::string split : {"train", "val"}) {
    spill(folder + "/" + split + ".jsonl", lines);
    splits[split] = {{{"file", split + ".jsonl"},
                      {"rows", rows.size()},
                      {"tokens", 1000},
                      {"bytes", lines.size()},
                      {"xxh3", xxh3_hex(as_bytes(lines))}}};
  }
  const nlohmann::json meta = {{"format_version", 1},
                               {"kind", "rows"},
                               {"tokenizer", tokenizer.to_json()},
                               {"vocab_size", tokenizer.vocab_size()},
                               {"splits", splits}};
  spill(folder + "/meta.json", json_text(meta));
  return Corpus::open(folder);
}

// Two corpora of rows, one of them with long ones, and one of shards.
struct Sources {
  Corpus few, many, shards;

  static Sources in(const TempFolder& temp) {
    std::vector<Row> many;
    for (int i = 0; i < 7; ++i)
      many.push_back(i % 3 == 2 ? text_row("One two. Three four five. Six. Seven eight nine. Ten.")
                                : answer("q" + std::to_string(i), std::string(size_t(i), 'a')));
    std::filesystem::create_directories(temp / "shards");
    write_shard(temp / "shards/train_0.bin", counting(40, 100));
    write_shard(temp / "shards/train_1.bin", counting(25, 200));
    return {rows_corpus(temp / "few", {answer("ab", "cd"), answer("", "e")}, *byte_pairs()),
            rows_corpus(temp / "many", many, *byte_pairs()), Corpus::open(temp / "shards")};
  }
};

inline bool same(const TokenBatch& a, const TokenBatch& b) {
  if (a.B != b.B || a.T != b.T || a.tokens != b.tokens || a.targets != b.targets ||
      a.columns.size() != b.columns.size())
    return false;
  for (const Column& column : a.columns) {
    const Column* other = b.find(column.name);
    if (other == nullptr || other->values != column.values ||
        other->per_sequence != column.per_sequence)
      return false;
  }
  return true;
}
inline bool same(const Drawn& a, const Drawn& b) {
  return same(a.batch, b.batch) && a.after == b.after && a.samples == b.samples;
}

// The next draws, one behind the other.
inline std::vector<Drawn> draws(const DataSet& data, Cursor cursor, int count) {
  std::vector<Drawn> all;
  for (int i = 0; i < count; ++i) {
    all.push_back(data.next(cursor));
    cursor = all.back().after;
  }
  return all;
}

inline const WholeNumbers& column(const TokenBatch& batch, const std::string& name) {
  static const WholeNumbers none;
  const Column* found = batch.find(name);
  return found == nullptr ? none : std::get<WholeNumbers>(found->values);
}

// As tokens of byte_pairs(); `|` is the end.
inline WholeNumbers ids(const std::string& text) {
  WholeNumbers all;
  for (const char c : text) all.push_back(c == '|' ? kEnd : static_cast<unsigned char>(c));
  return all;
}
// `.` is no target.
inline WholeNumbers targets(const std::string& text) {
  WholeNumbers all = ids(text);
  for (int64_t& id : all)
    if (id == '.') id = -1;
  return all;
}

}  // namespace fathom::testing
