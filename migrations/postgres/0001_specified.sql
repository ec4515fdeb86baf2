-- The two tables as they are specified. A database that has them already keeps them, and its rows.

CREATE TABLE IF NOT EXISTS flights (
    id BIGSERIAL PRIMARY KEY,
    source VARCHAR(100) NOT NULL,
    destination VARCHAR(100) NOT NULL,
    timestamp TIMESTAMP NOT NULL,
    available_seats INTEGER NOT NULL,
    total_seats INTEGER NOT NULL,
    flight_status VARCHAR(50) DEFAULT 'scheduled',
    price DECIMAL(10,2) NOT NULL,
    version INTEGER DEFAULT 1,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE IF NOT EXISTS bookings (
    id BIGSERIAL PRIMARY KEY,
    flight_id BIGINT REFERENCES flights(id),
    user_id BIGINT NOT NULL,
    status VARCHAR(50) DEFAULT 'pending',
    payment_reference_id VARCHAR(255),
    booking_price DECIMAL(10,2) NOT NULL,
    seats_booked INTEGER NOT NULL,
    booking_metadata JSONB,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
