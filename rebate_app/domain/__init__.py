"""The pure core: facts in, amounts out. No Kafka, no Faust, no format, no clock, no environment."""
