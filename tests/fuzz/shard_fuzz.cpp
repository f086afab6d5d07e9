// Token shards of the three layouts, told apart by content.
#include "fathom/data/shard.h"

#include "fathom/data/shard_facts.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

// llm.c's header of 256 integers, the first from the input, and then tokens.
std::string llmc(Input& in) {
  std::string header(1024, '\0');
  const int32_t start[] = {in.below(2) == 0 ? 20240520 : in.number<int32_t>(), in.number() - '0',
                           in.number<int32_t>()};
  std::memcpy(header.data(), start, sizeof start);
  return header.substr(0, header.size() - in.number()) + in.rest();
}

void check_accepted(const TokenShard& shard) {
  const uint64_t size = shard.size();
  require(size >= 1 && 2 * size <= shard.file_bytes().size(), "the tokens lie in the file");
  const uint64_t header = shard.file_bytes().size() - 2 * size;
  require(shard.format() == ShardFormat::kNpy ||
              header == (shard.format() == ShardFormat::kLlmC ? 1024 : 0),
          "a header is never read as tokens");
  std::vector<int64_t> tokens(size);
  shard.copy(0, {tokens.data(), tokens.size()});
  require(*std::max_element(tokens.begin(), tokens.end()) == shard.max_token(), "the largest id");
  const auto* bytes = reinterpret_cast<const uint8_t*>(shard.file_bytes().end());
  require(tokens.back() == bytes[-2] + 256 * bytes[-1], "the last token is the last two bytes");
  const ShardFacts facts = read_through(shard);
  require(facts.largest == shard.max_token() && facts.xxh3 == xxh3(shard.file_bytes()),
          "what was read through is the file");
  require(shard.format() == ShardFormat::kNanoGpt || facts.other.empty(), "a header is believed");
  const auto below = [&](int64_t size) {
    return accepts(0, [&] { require_ids(shard, facts, size); });
  };
  require(below(shard.max_token() + 1) && !below(shard.max_token()), "an id outside is found");
  accepts(0, [&] { require_uint16(shard, facts); });
  int64_t token = 0;
  for (const uint64_t offset : {size, UINT64_MAX, UINT64_MAX / 2})
    require(!accepts(0, [&] { shard.copy(offset, {&token, 1}); }), "no token is read from outside");
}

}  // namespace

FATHOM_FUZZ(in) {
  static const Folder folder;
  const std::string bytes = in.below(2) == 0 ? in.rest() : llmc(in);
  const std::string path = folder.write("x.bin", bytes);
  accepts(bytes.size(), [&] { check_accepted(TokenShard(path)); });
}

}  // namespace fathom::fuzzing
