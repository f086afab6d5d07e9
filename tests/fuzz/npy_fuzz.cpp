// The header of .npy files: raw bytes, and a dictionary in a sound frame.
#include "fathom/data/npy_header.h"

#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const size_t version = in.below(4);
  std::string file(kNpyMagic);
  if (version == 0) {
    file += in.rest();
  } else {
    const size_t data_bytes = in.number();
    const std::string dictionary = grown(in);
    const auto length = static_cast<uint32_t>(dictionary.size());
    file += static_cast<char>(version);
    file += '\0';
    file.append(reinterpret_cast<const char*>(&length), version == 1 ? 2 : 4);
    file += dictionary + std::string(data_bytes, '\1');
  }
  NpyHeader header;
  if (!accepts(file.size(), [&] { header = read_npy_header(file, "x.npy"); })) return;
  require(header.start <= file.size() && header.count == (file.size() - header.start) / 2 &&
              (file.size() - header.start) % 2 == 0,
          "the tokens are what follows the header");
}

}  // namespace fathom::fuzzing
