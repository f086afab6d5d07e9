#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <set>
#include <unordered_map>

#include "fathom/base/error.h"
#include "fathom/data/bpe.h"
#include "fathom/data/shard.h"

namespace fathom {
namespace {

using Pair = std::pair<uint32_t, uint32_t>;

struct Word {
  std::vector<uint32_t> ids;
  int64_t count = 0;
};

// The text's different pieces, each with how often it comes.
std::vector<Word> words_of(std::string_view text) {
  std::unordered_map<std::string_view, int64_t> counts;
  for_each_piece(text, [&](std::string_view piece) { ++counts[piece]; });
  // In an order that does not hang on the hash.
  std::vector<std::pair<std::string_view, int64_t>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<Word> words;
  for (const auto& [piece, count] : sorted) {
    Word word;
    word.count = count;
    for (const char c : piece) word.ids.push_back(static_cast<unsigned char>(c));
    words.push_back(std::move(word));
  }
  return words;
}

struct PairHash {
  size_t operator()(const Pair& p) const {
    return std::hash<uint64_t>()(uint64_t{p.first} << 32 | p.second);
  }
};

class Trainer {
 public:
  explicit Trainer(std::string_view text) : words_(words_of(text)) {
    for (size_t w = 0; w < words_.size(); ++w) add(w, +1);
    for (const auto& [pair, count] : counts_) offer(pair);
    changed_.clear();
  }

  // The most frequent pair that comes at least twice; false: there is none.
  bool best(Pair& pair) {
    while (!heap_.empty()) {
      const Offer top = heap_.top();
      heap_.pop();
      const auto count = counts_.find(top.pair);
      // An offer counts while nothing has changed since.
      if (count == counts_.end() || count->second != top.count) continue;
      pair = top.pair;
      return top.count >= 2;
    }
    return false;
  }

  void merge(const Pair& pair, uint32_t id) {
    const std::set<size_t> where = std::move(places_[pair]);
    for (const size_t w : where) {
      add(w, -1);
      std::vector<uint32_t>& ids = words_[w].ids;
      size_t out = 0;
      for (size_t i = 0; i < ids.size(); ++i) {
        const bool is_pair =
            i + 1 < ids.size() && ids[i] == pair.first && ids[i + 1] == pair.second;
        ids[out++] = is_pair ? id : ids[i];
        i += is_pair;
      }
      ids.resize(out);
      add(w, +1);
    }
    for (const Pair& p : changed_) offer(p);
    changed_.clear();
  }

 private:
  struct Offer {
    int64_t count;
    Pair pair;
    bool operator<(const Offer& other) const {  // the heap's top is the largest
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  // A word's pairs into the counts, or out of them.
  void add(size_t w, int64_t sign) {
    const Word& word = words_[w];
    for (size_t i = 0; i + 1 < word.ids.size(); ++i) {
      const Pair pair = {word.ids[i], word.ids[i + 1]};
      counts_[pair] += sign * word.count;
      changed_.insert(pair);
      if (sign > 0) places_[pair].insert(w);
    }
  }
  void offer(const Pair& pair) {
    const auto count = counts_.find(pair);
    if (count->second > 0)
      heap_.push({count->second, pair});
    else
      counts_.erase(count), places_.erase(pair);
  }

  std::vector<Word> words_;
  std::unordered_map<Pair, int64_t, PairHash> counts_;
  std::unordered_map<Pair, std::set<size_t>, PairHash> places_;  // words that have, or had, it
  std::set<Pair> changed_;
  std::priority_queue<Offer> heap_;
};

}  // namespace

BpeVocabulary train_bpe(std::string_view text, int64_t size,
                        const std::function<void(int64_t)>& progress) {
  if (size < 257 || size > static_cast<int64_t>(kShardIdLimit))
    misuse(fmt::format("vocab_size = {} is no size for byte pairs", size),
           fmt::format("take 257 (the bytes and the end of a text) to {}", kShardIdLimit));
  BpeVocabulary vocabulary;
  for (int b = 0; b < 256; ++b) vocabulary.tokens.emplace_back(1, static_cast<char>(b));
  vocabulary.specials = {"<|endoftext|>"};
  std::unordered_map<std::string, uint32_t> id_of;
  for (uint32_t id = 0; id < 256; ++id) id_of[vocabulary.tokens[id]] = id;
  Trainer trainer(text);
  Pair pair;
  while (static_cast<int64_t>(vocabulary.size()) < size && trainer.best(pair)) {
    // Another pair may make what is a token already ("ab" "c" and "a" "bc").
    std::string token = vocabulary.tokens[pair.first] + vocabulary.tokens[pair.second];
    if (token.size() > kMaxTokenBytes) continue;  // a text of one letter doubles without end
    const auto [at, is_new] = id_of.emplace(token, static_cast<uint32_t>(vocabulary.tokens.size()));
    if (is_new) vocabulary.tokens.push_back(std::move(token));
    trainer.merge(pair, at->second);
    if (progress) progress(static_cast<int64_t>(vocabulary.size()));
  }
  return vocabulary;
}

}  // namespace fathom
