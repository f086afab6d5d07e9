// Writes the shards and the meta.json of a corpus. For prepare.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "fathom/data/shard.h"

namespace fathom {

// One split, cut into shards of `shard_tokens`: <split>.bin, or <split>_000000.bin and so on when
// it takes more than one.
class SplitWriter {
 public:
  SplitWriter(std::string folder, std::string split, ShardFormat format, uint64_t shard_tokens);
  void append(Span<const uint32_t> ids);
  uint64_t size() const { return size_; }
  // Completes the shards; returns their entries for meta.json: [{file, tokens, bytes, xxh3}, ...].
  nlohmann::json finish();

 private:
  void finish_shard();

  std::string folder_, split_;
  ShardFormat format_;
  uint64_t shard_tokens_;
  uint64_t size_ = 0;
  std::unique_ptr<ShardWriter> shard_;  // null between shards
  nlohmann::json entries_ = nlohmann::json::array();
};

}  // namespace fathom
