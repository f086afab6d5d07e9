// XXH3 of what comes in parts.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <memory>

namespace fathom {

class Xxh3 {
 public:
  Xxh3() : state_(XXH3_createState(), &XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void add(const void* bytes, size_t size) { XXH3_64bits_update(state_.get(), bytes, size); }
  uint64_t value() const { return XXH3_64bits_digest(state_.get()); }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

}  // namespace fathom
