// What reading a shard through tells of it.
#pragma once

#include <cstdint>
#include <string>

#include "fathom/data/shard.h"

namespace fathom {

struct ShardFacts {
  uint64_t xxh3 = 0;     // of the file
  uint16_t largest = 0;  // id
  std::string other;     // what a file without a header seems to be instead of uint16 ids; or empty
  std::string remedy;    // a line that makes a text of it; or empty
};

// Throws Error when the file cannot be read, or is shorter meanwhile.
ShardFacts read_through(const TokenShard& shard);

// Throws Error with file, place and id of the first id that is not below `vocab_size`.
void require_ids(const TokenShard& shard, const ShardFacts& facts, int64_t vocab_size);
[[noreturn]] void fail_id(const TokenShard& shard, uint64_t offset, int64_t id, int64_t vocab_size);

// Throws Error for a shard that seems to be something else.
void require_uint16(const TokenShard& shard, const ShardFacts& facts);

}  // namespace fathom
