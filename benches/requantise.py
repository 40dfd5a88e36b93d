"""Writes a GGUF file again with its matrices in another type, everything else as it is.

    python requantise.py IN OUT Q8_0|Q4_0|F32        (package gguf 0.19.0)
"""

import sys

import numpy
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants

source, target, kind = sys.argv[1], sys.argv[2], GGMLQuantizationType[sys.argv[3]]
reader = GGUFReader(source)
architecture = reader.fields["general.architecture"].contents()
writer = GGUFWriter(target, architecture)
for name, field in reader.fields.items():
    if name.startswith("GGUF.") or name == "general.architecture":
        continue
    value, first = field.contents(), field.types[0]
    if name == "general.file_type":
        value = {"Q8_0": 7, "Q4_0": 2, "F32": 0}[kind.name]
    writer.add_key_value(name, value, first, field.types[1] if first == GGUFValueType.ARRAY else None)
for tensor in reader.tensors:
    numbers = quants.dequantize(tensor.data, tensor.tensor_type)
    shape = [int(size) for size in reversed(tensor.shape)]
    numbers = numpy.ascontiguousarray(numbers.reshape(shape), dtype=numpy.float32)
    # The embedding is the head as well: it stays in Q8_0, as in the files that are handed around.
    wanted = kind if tensor.name != "token_embd.weight" or kind == GGMLQuantizationType.F32 else GGMLQuantizationType.Q8_0
    if len(shape) == 2 and wanted != GGMLQuantizationType.F32:
        data = quants.quantize(numbers, wanted)
        writer.add_tensor(tensor.name, data, raw_dtype=wanted)
    else:
        writer.add_tensor(tensor.name, numbers)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
