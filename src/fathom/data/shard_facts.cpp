#include "fathom/data/shard_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/data/content_kind.h"
#include "fathom/data/xxh3_stream.h"

namespace fathom {
namespace {

constexpr size_t kChunk = 1 << 19;   // tokens
constexpr uint64_t kFewTokens = 32;  // too few to tell how wide they are
constexpr uint16_t kHigh = 16;       // upper halves of ids are below: a million ids

// Ids of 32 or 64 bits, read as 16, have a rhythm: the upper parts are zero or small, the lower
// ones are not. Kept only as long as there may be one.
class Width {
 public:
  void add(const std::vector<uint16_t>& tokens) {  // a multiple of four, but for the last ones
    seen_ += tokens.size();
    for (const uint16_t token : tokens) {
      if (token % 256 != 0) low_bytes_ = true;
      if (swapped_.size() < 3 && token != 0 &&
          std::find(swapped_.begin(), swapped_.end(), token) == swapped_.end())
        swapped_.push_back(token);
      if (low_bytes_) break;
    }
    for (size_t i = 0; i < tokens.size() && possible(); ++i) {
      const size_t place = i % 4;
      zeros_[place] += tokens[i] == 0;
      large_[place] += tokens[i] >= kHigh;
      if (values_[place].size() < 3 && tokens[i] != 0 &&
          std::find(values_[place].begin(), values_[place].end(), tokens[i]) ==
              values_[place].end())
        values_[place].push_back(tokens[i]);
      ++tokens_;
    }
  }
  std::string verdict() const {
    if (seen_ < kFewTokens) return "";
    for (const auto& p : {std::array<size_t, 4>{0, 1, 2, 3}, std::array<size_t, 4>{3, 2, 1, 0}}) {
      const uint64_t quarter = tokens_ / 4;
      const std::string order = p[0] == 0 ? "" : ", the upper half first";
      if (tokens_ < kFewTokens || large_[p[1]] + large_[p[3]] > 0) continue;
      if (tokens_ % 4 == 0 && zeros_[p[2]] == quarter && zeros_[p[3]] == quarter &&
          4 * zeros_[p[1]] >= 3 * quarter &&
          (2 * large_[p[0]] >= quarter || values_[p[0]].size() == 3))
        return "ids of 64 bits each" + order;
      const uint64_t upper = zeros_[p[1]] + zeros_[p[3]], lower = zeros_[p[0]] + zeros_[p[2]];
      const bool all = upper == 2 * quarter && lower > 0 && values_[p[0]].size() == 3;
      // Of a vocabulary above 65,536 the upper halves are few, not all zero.
      const bool few = values_[p[1]].size() < 3 && values_[p[3]].size() < 3;
      if (tokens_ % 2 == 0 &&
          ((few && large_[p[0]] + large_[p[2]] >= quarter) ||
           (4 * upper >= 3 * 2 * quarter && (large_[p[0]] + large_[p[2]] >= quarter || all))))
        return "ids of 32 bits each" + order;
    }
    if (!low_bytes_ && swapped_.size() == 3) return "ids of 16 bits each, the upper byte first";
    return "";
  }

 private:
  bool possible() const { return large_[0] + large_[2] == 0 || large_[1] + large_[3] == 0; }
  uint64_t tokens_ = 0, seen_ = 0;               // until the rhythm was broken, and all
  bool low_bytes_ = false;                       // an id is no multiple of 256
  std::vector<uint16_t> swapped_;                // up to three ids that are not zero
  std::array<uint64_t, 4> zeros_{}, large_{};    // by place in four tokens
  std::array<std::vector<uint16_t>, 4> values_;  // up to three that are not zero
};

// By the first and the last bytes.
void look_at_ends(const TokenShard& shard, ShardFacts& facts) {
  const uint64_t bytes = shard.file_size();
  std::string head(std::min<uint64_t>(bytes, kContentHead), '\0');
  std::string tail(std::min<uint64_t>(bytes, kContentTail), '\0');
  shard.read_bytes(0, head.data(), head.size());
  shard.read_bytes(bytes - tail.size(), tail.data(), tail.size());
  const auto kind = other_than_ids(head, tail, bytes);
  if (kind) facts.other = kind->what, facts.remedy = kind->remedy;
}

}  // namespace

ShardFacts read_through(const TokenShard& shard) {
  ShardFacts facts;
  const bool bare = shard.format() == ShardFormat::kNanoGpt;
  if (bare) look_at_ends(shard, facts);
  Xxh3 hash;
  std::string header(shard.file_size() - 2 * shard.size(), '\0');
  shard.read_bytes(0, header.data(), header.size());
  hash.add(header.data(), header.size());
  Width width;
  std::vector<uint16_t> tokens;
  for (uint64_t at = 0; at < shard.size(); at += tokens.size()) {
    tokens.resize(std::min<uint64_t>(kChunk, shard.size() - at));
    shard.read_bytes(header.size() + 2 * at, tokens.data(), 2 * tokens.size());
    hash.add(tokens.data(), 2 * tokens.size());
    uint16_t largest = facts.largest;
    for (const uint16_t token : tokens) largest = std::max(largest, token);
    facts.largest = largest;
    if (bare) width.add(tokens);
  }
  facts.xxh3 = hash.value();
  if (bare && facts.other.empty()) facts.other = width.verdict();
  return facts;
}

void require_ids(const TokenShard& shard, const ShardFacts& facts, int64_t vocab_size) {
  if (facts.largest < vocab_size) return;
  std::vector<int64_t> tokens;
  for (uint64_t at = 0; at < shard.size(); at += tokens.size()) {
    tokens.resize(std::min<uint64_t>(kChunk, shard.size() - at));
    shard.copy(at, tokens);
    for (size_t i = 0; i < tokens.size(); ++i)
      if (tokens[i] >= vocab_size) fail_id(shard, at + i, tokens[i], vocab_size);
  }
}

void fail_id(const TokenShard& shard, uint64_t offset, int64_t id, int64_t vocab_size) {
  fail(fmt::format("{} has token {} at offset {}, outside the vocabulary of {}", shard.path(), id,
                   offset, vocab_size),
       "the shard was made with another tokenizer; prepare the corpus again, or where it has no "
       "meta.json give its --vocab_size");
}

void require_uint16(const TokenShard& shard, const ShardFacts& facts) {
  if (facts.other.empty()) return;
  fail(fmt::format("{} is no shard of uint16 ids: it seems to be {}", shard.path(), facts.other),
       facts.remedy.empty()
           ? "save ids with numpy.save(\"x_train_0.npy\", ids.astype(numpy.uint16)): a .npy file "
             "says what it holds"
           : fmt::format("`{}`", facts.remedy));
}

}  // namespace fathom
